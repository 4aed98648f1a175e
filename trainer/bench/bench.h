/** Declares the benchmarks of retnet-bench. Each one prints a table or a JSON object. */
#ifndef RN_TRAINER_BENCH_BENCH_H
#define RN_TRAINER_BENCH_BENCH_H

#include "comm/world/world.h"
#include "proto/cli/args.h"

/** The command-line options; each benchmark uses those that apply to it. */
typedef struct rn_bench_options {
  bool json;
  const char *threads;   /* list of thread counts to measure; NULL: parallel.threads */
  const char *positions; /* decode: list of positions; NULL: the default */
  const char *sequences; /* decode: list of numbers of sequences; NULL: the default */
  const char *scan;      /* "none": steps are timed in pairs, with and without the scan */
  const char *precision; /* train.precision; NULL: the value in `keys` */
  int64_t rounds;        /* number of timed steps or samples; 0: the default of the benchmark */
  const char *dir;       /* directory for the files of the benchmark */
  rn_words keys;         /* config keys of the command line, each section.key=value */
} rn_bench_options;

/**
 * Times the scan of states over all ranks with the algorithms chain, doubling and exscan, for
 * states of 1 KiB to 16 MiB, and predicts its time at 64 and 512 ranks with a cost model whose
 * parameters are measured.
 *
 * Collective: over the world. Errors: RN_ERR_USAGE on a single rank.
 */
rn_status rn_bench_scan(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times small and large matrix products with every GEMM backend, on 1 to all threads.
 *
 * Collective: over the world; all ranks measure at the same time. Errors: those of the config.
 */
rn_status rn_bench_gemm(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times softmax attention, forward and backward, and compares it with the best GEMM rate.
 *
 * Collective: over the world; all ranks measure at the same time, and rank 0 reports its own
 *             results.
 * Errors:     those of the config.
 */
rn_status rn_bench_attention(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times writing and reading of shards and checkpoint files, with a plain file for comparison.
 *
 * Collective: over the world; all ranks measure at the same time. Errors: those of the config and
 * of files.
 */
rn_status rn_bench_io(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times every kernel of a model with these keys, for every instruction set of this machine, and
 * compares its rate with its limit: the best GEMM rate or a memory bandwidth (bench_kernels.c).
 *
 * Collective: over the world; rank 0 reports its own results. Errors: those of the config.
 */
rn_status rn_bench_kernels(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times decoding of one and of several sequences and compares it with the memory read bandwidth;
 * reports time and memory per token at large positions and over a long run.
 *
 * Collective: over the world; all ranks measure at the same time, and rank 0 reports its own
 *             results.
 * Errors:     those of the config.
 */
rn_status rn_bench_decode(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times pairs of training steps with the same work. In one step of a pair, all ranks share each
 * sequence; in the other, each rank has separate sequences (data.sequence_length and
 * data.batch_sequences then apply to one rank). Reports both times, their ratio, and the time
 * spent waiting for states in forward and in backward.
 *
 * Collective: over the world. Errors: those of the config; RN_ERR_USAGE on a single rank.
 */
rn_status rn_bench_ranks(rn_err *err, rn_world *world, const rn_bench_options *options);

/**
 * Times training steps of the reference model (which the keys may change) on synthetic tokens and
 * reports time, rates, peak memory, the time of the step's matrix products alone, and the best GEMM
 * rate of the machine; with --scan none, also the cost of the scan. With several thread counts,
 * reports how the step and its phases scale.
 *
 * Collective: over the world. Errors: those of the config; RN_ERR_USAGE.
 */
rn_status rn_bench_step(rn_err *err, rn_world *world, const rn_bench_options *options);

#endif
