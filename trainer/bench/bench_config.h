/** Builds the configuration to measure: the reference step, changed by the keys of the command
 * line. */
#ifndef RN_TRAINER_BENCH_BENCH_CONFIG_H
#define RN_TRAINER_BENCH_BENCH_CONFIG_H

#include "proto/schema/config.pb-c.h"
#include "trainer/bench/bench.h"

/** Checks that the number format is given only once. Errors: RN_ERR_USAGE. */
rn_status rn_bench_check_precision(rn_err *err, const rn_bench_options *options);

/** Builds the configuration. Ownership: rn_options_free. Errors: RN_ERR_USAGE naming the key. */
rn_status rn_bench_config(rn_err *err, const rn_bench_options *options, Retnet__Config **out);

/**
 * Builds the same configuration on all ranks, selects the GEMM backend and starts the threads that
 * the configuration asks for. *threads is the number of threads. If ranks would have different
 * numbers, all start the smallest, so that all measure the same list of products.
 *
 * Collective: over the world. Errors: as above, and RN_ERR_USAGE if bf16 is unsupported; agreed.
 */
rn_status rn_bench_start(rn_err *err, rn_world *world, const rn_bench_options *options,
                         Retnet__Config **config, int *threads);

/** Writes train.precision, for example "fp32", to text [bytes]. */
void rn_bench_precision(const Retnet__Config *config, char *text, size_t bytes);

#endif
