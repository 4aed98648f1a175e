/** Measures the training steps of one configuration: total time, time by phase, time outside of
 * matrix products, and cost of the scan. */
#ifndef RN_TRAINER_BENCH_BENCH_MEASURE_H
#define RN_TRAINER_BENCH_BENCH_MEASURE_H

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/bench/bench_phases.h"
#include "trainer/cost/step_cost.h"

typedef struct rn_measure_options {
  int steps;  /* timed steps, at most RN_QUANTILE_MAX */
  bool pairs; /* time each step as a pair: once with the scan, once without */
} rn_measure_options;

/** Results of a measurement: medians over the steps, unless stated otherwise. In the comments
 * below, "the rank" is the calling rank. */
typedef struct rn_measured {
  int ranks, threads, steps;
  double step_s, tokens_per_s;
  double cpu_s;           /* CPU time of all ranks together, per step */
  double peak_bytes;      /* peak memory of a process, read after the warm-up steps and before the
                             measurement allocates memory; maximum over the ranks */
  rn_phase_times phases;  /* phase times of the rank, mean per step; zero with `pairs` */
  rn_subphases subphases; /* subphases of the rank, summed over the steps; none with `pairs` */
  rn_step_cost cost;      /* modelled cost of the rank's part of a step */
  /* Matrix products of a step on the rank: their number, their FLOP, and the time that they take
   * when nothing else runs. */
  int64_t product_calls;
  double product_flops, products_s;
  const char *backend;
  /* FLOP/s of the model (tokens/s x FLOP per token) and of the fastest GEMM, both summed over all
   * ranks. */
  double model_flops_per_s, gemm_flops_per_s;
  char gemm[80]; /* describes the product with the highest rate */
  /* Communication of the rank per step: time spent waiting for states, and bytes of states and of
   * gradients sent. */
  const char *scan_name;
  double scan_wait_s;
  int64_t scan_bytes, sum_bytes;
  bool comm_thread;
  char scan[120], messages[160], binding[240]; /* descriptions */
  /* With `pairs`: the time of a step without the scan, and the cost of the scan as a
   * fraction of the step (median and quartiles). */
  double without_scan_s, scan_cost, scan_cost_low, scan_cost_high;
} rn_measured;

/**
 * Runs steps on synthetic tokens. To find the time outside of matrix products, the products of one
 * step are recorded, and replayed alone after each timed step. To find the efficiency of the
 * products, the best GEMM rate of the machine is sampled between the steps. To find the cost of the
 * scan, each step with the scan is paired with a step whose scan port returns zeros immediately;
 * the results of that step are wrong but its timing is valid. Everything is measured in one run, so
 * that fluctuations of the machine affect all figures alike.
 *
 * Collective: over the world.
 * Errors:     those of rn_run_create and rn_step; RN_ERR_USAGE for pairs without a scan.
 */
rn_status rn_measure(rn_err *err, const Retnet__Config *config, rn_world *world,
                     rn_measure_options options, rn_measured *out);

#endif
