/** The run that is measured: the reference step, with the command line's keys over it. */
#ifndef RN_TRAINER_BENCH_BENCH_CONFIG_H
#define RN_TRAINER_BENCH_BENCH_CONFIG_H

#include "proto/schema/config.pb-c.h"
#include "trainer/bench/bench.h"

/** Ownership: rn_options_free. Errors: RN_ERR_USAGE naming the key. */
rn_status rn_bench_config(rn_err *err, const rn_bench_options *options, Retnet__Config **out);

/**
 * The same on all ranks, with products and threads as it says; their number in *threads.
 * Collective: over the world.
 */
rn_status rn_bench_start(rn_err *err, rn_world *world, const rn_bench_options *options,
                         Retnet__Config **config, int *threads);

/** train.precision as text, "fp32" for example: into text [bytes]. */
void rn_bench_precision(const Retnet__Config *config, char *text, size_t bytes);

#endif
