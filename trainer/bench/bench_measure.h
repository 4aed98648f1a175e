/** Measures the training steps of one configuration, and where their time is lost. */
#ifndef RN_TRAINER_BENCH_BENCH_MEASURE_H
#define RN_TRAINER_BENCH_BENCH_MEASURE_H

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/bench/bench_phases.h"

/** How to measure. */
typedef struct rn_measure_options {
  int steps;  /* timed steps, at most RN_QUANTILE_MAX */
  bool pairs; /* also time steps without a scan, each beside one with it */
} rn_measure_options;

/** Medians over the steps, unless stated otherwise; "rank" is this rank. */
typedef struct rn_measured {
  int ranks, threads, steps;
  double step_s, tokens_per_s;
  double cpu_s;          /* CPU time of all ranks together, per step */
  double peak_bytes;     /* of the process, after the first steps; maximum over the ranks */
  rn_phase_times phases; /* of the rank, mean of a step; zero with pairs */
  /* Matrix products of a step on the rank: number, work, time alone. */
  int64_t product_calls;
  double product_flops, products_s;
  const char *backend;
  /* Rate of the model's work, and highest rate of a matrix product; all ranks together. */
  double model_flops_per_s, gemm_flops_per_s;
  char gemm[80]; /* describes the product with that rate */
  /* Communication of the rank: time that it waits for states, bytes of states and of gradients. */
  const char *scan_name;
  double scan_wait_s;
  int64_t scan_bytes, sum_bytes;
  bool comm_thread;
  char scan[120], messages[80], binding[160]; /* descriptions */
  /* With pairs: the cost of the scan as a fraction of the step, median and quartiles. */
  double without_scan_s, scan_cost, scan_cost_low, scan_cost_high;
} rn_measured;

/**
 * Runs steps on synthetic tokens. The time outside of matrix products follows from the products of
 * one step, which are recorded and replayed alone after each timed step. The efficiency of the
 * products follows from the best GEMM rate of the machine, sampled between the steps. The cost of
 * the scan follows from pairs of steps, one with the scan and one with a port that returns zeros at
 * once (wrong results, valid timing). All are measured in one run, so fluctuations of the machine
 * affect all alike.
 *
 * Collective: over the world.
 * Errors:     those of rn_run_create and rn_step; RN_ERR_USAGE for pairs without a scan.
 */
rn_status rn_measure(rn_err *err, const Retnet__Config *config, rn_world *world,
                     rn_measure_options options, rn_measured *out);

#endif
