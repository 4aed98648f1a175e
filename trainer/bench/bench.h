/** The parts of retnet-bench: each measures one thing, prints a table, or one JSON object. */
#ifndef RN_TRAINER_BENCH_BENCH_H
#define RN_TRAINER_BENCH_BENCH_H

#include "comm/world/world.h"
#include "proto/cli/args.h"

/** What the command line says; each part uses what it knows. */
typedef struct rn_bench_options {
  bool json;
  const char *scan;      /* "none": pairs of steps, with and without it */
  const char *precision; /* train.precision; NULL: as the keys say */
  int64_t rounds;        /* steps, or samples, that are timed; 0: the part's own number */
  const char *dir;       /* where files are written */
  rn_words keys;         /* section.key=value */
} rn_bench_options;

/**
 * The scan of states over all ranks, by chain, doubling and exscan, for states of 1 KiB to 16 MiB,
 * and what a model of its cost makes of the measured terms at 64 and at 512 ranks.
 *
 * Collective: over the world. Errors: RN_ERR_USAGE with one rank alone.
 */
rn_status rn_bench_scan(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Matrix products by every provider, small and large, on 1 to all threads.
 *
 * Collective: over the world, whose ranks measure at once. Errors: those of the config.
 */
rn_status rn_bench_gemm(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Shards and checkpoint parts, written and read, beside plain files of the same bytes.
 *
 * Collective: over the world, whose ranks measure at once. Errors: those of the config and of
 * files.
 */
rn_status rn_bench_io(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Every kernel of a model of these keys, in every set that this machine can run, beside its limit.
 *
 * Collective: over the world; rank 0 tells of itself. Errors: those of the config.
 */
rn_status rn_bench_kernels(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Decoding, one sequence and several, beside the rate at which memory is read; time and memory of a
 * token far out, and of a long run.
 *
 * Collective: over the world, whose ranks measure at once; rank 0 tells of itself. Errors: those of
 * the config.
 */
rn_status rn_bench_decode(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Steps of the reference model (or as the keys say) on made-up tokens: time, rates, peak memory;
 * what the step's products take alone, and the machine's best rate of products; with --scan none,
 * what the scan costs.
 *
 * Collective: over the world. Errors: those of the config; RN_ERR_USAGE.
 */
rn_status rn_bench_step(rn_err *err, rn_world *world, const rn_bench_options *options);

#endif
