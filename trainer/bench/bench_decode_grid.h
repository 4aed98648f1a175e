/** Implements retnet-bench decode with --positions or --sequences, which measures every pair of a
 * position and a number of sequences. */
#ifndef RN_TRAINER_BENCH_BENCH_DECODE_GRID_H
#define RN_TRAINER_BENCH_BENCH_DECODE_GRID_H

#include "proto/schema/config.pb-c.h"
#include "trainer/bench/bench.h"

/** Settings of the benchmark. */
typedef struct rn_bench_decode_setup {
  const Retnet__Config *config;
  int threads, rounds;
  bool bf16; /* weights in bf16 */
} rn_bench_decode_setup;

/**
 * Times decoding steps for each number of sequences at each position. Prints the times, and the
 * memory that the states, keys and values of one sequence need at each position.
 *
 * Collective: over the world; rank 0 reports its own results.
 * Errors:     RN_ERR_USAGE for a list that is not valid; RN_ERR_MEMORY.
 */
rn_status rn_bench_decode_grid(rn_err *err, rn_world *world, const rn_bench_options *options,
                               rn_bench_decode_setup setup);

#endif
