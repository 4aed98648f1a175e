/*
 * retnet-bench step times training steps on synthetic tokens and shows where the time goes. With
 * several thread counts, it prints a table of how the steps and their phases scale.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world/cores.h"
#include "proto/base/json.h"
#include "proto/base/omp_threads.h"
#include "proto/base/quantile.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/bench/bench_counts.h"
#include "trainer/bench/bench_measure.h"
#include "trainer/bench/bench_scaling.h"
#include "trainer/machine/binding.h"

enum { STEPS = 10 };

/* ---- options ---- */

static rn_status parse(rn_err *err, const rn_bench_options *options, Retnet__Config **config,
                       rn_bench_counts *counts) {
  if (options->scan != NULL && strcmp(options->scan, "none") != 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--scan %s: the only allowed value is \"none\"; to choose an algorithm, use "
                   "-s parallel.scan=...",
                   options->scan);
  }
  RN_TRY(err, rn_bench_config(err, options, config));
  if (options->threads == NULL) return RN_OK;
  RN_TRY(err, rn_bench_counts_parse(err, "--threads", options->threads, counts));
  if (rn_options_given(*config, "parallel.threads")) {
    return rn_fail(err, RN_ERR_USAGE, "use either --threads or -s parallel.threads, not both");
  }
  if (options->scan == NULL || counts->count == 1) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "--scan none needs a single number of threads, not --threads %s",
                 options->threads);
}

/* ---- one thread count ---- */

/* Prints all members of the JSON object except `threads`. */
static void print_members(const rn_measured *m, const char *precision, bool pairs) {
  printf("\"ranks\": %d, \"precision\": \"%s\", \"steps\": %d, \"step_s\": %s, ", m->ranks,
         precision, m->steps, RN_JSON(m->step_s));
  printf("\"tokens_per_s\": %s, \"products_s\": %s, \"products_share\": %s, ",
         RN_JSON(m->tokens_per_s), RN_JSON(m->products_s), RN_JSON(m->products_s / m->step_s));
  printf("\"products\": \"%s\", \"product_calls\": %lld, \"product_flops\": %s, ", m->backend,
         (long long)m->product_calls, RN_JSON(m->product_flops));
  printf("\"model_flops_per_s\": %s, \"gemm_flops_per_s\": %s, \"gemm\": \"%s\", ",
         RN_JSON(m->model_flops_per_s), RN_JSON(m->gemm_flops_per_s), m->gemm);
  printf("\"gemm_share\": %s, \"peak_bytes\": %.0f, ",
         RN_JSON(m->model_flops_per_s / m->gemm_flops_per_s), m->peak_bytes);
  printf("\"cpu_s\": %s, \"scan\": \"%s\", \"scan_wait_s\": %s, \"scan_bytes\": %lld, ",
         RN_JSON(m->cpu_s), m->scan_name, RN_JSON(m->scan_wait_s), (long long)m->scan_bytes);
  printf("\"sum_bytes\": %lld, \"comm_thread\": %s, ", (long long)m->sum_bytes,
         m->comm_thread ? "true" : "false");
  if (!pairs) {
    rn_scaling_print_phases_json(m);
    return;
  }
  printf("\"pairs\": %d, \"step_without_scan_s\": %s, \"scan_cost\": %s, ", m->steps,
         RN_JSON(m->without_scan_s), RN_JSON(m->scan_cost));
  printf("\"scan_cost_quarters\": [%s, %s]", RN_JSON(m->scan_cost_low), RN_JSON(m->scan_cost_high));
}

static void print_json(const rn_measured *m, const rn_measured *hyper, const char *precision,
                       bool pairs) {
  printf("{\"threads\": %d, ", m->threads);
  print_members(m, precision, pairs);
  if (hyper != NULL) {
    printf(", \"hyperthreads\": {\"threads\": %d, \"tokens_per_s\": %s, \"step_s\": %s}",
           hyper->threads, RN_JSON(hyper->tokens_per_s), RN_JSON(hyper->step_s));
  }
  printf("}\n");
}

static void print_figures(const rn_measured *m, const rn_measured *hyper, const char *precision,
                          bool pairs) {
  printf("%d ranks of %d threads, %s; %s, %s; medians of %d steps\n", m->ranks, m->threads,
         m->binding, precision, m->messages, m->steps);
  printf("step          %10.1f ms  %8.0f tokens/s, peak memory %.0f MiB per rank\n",
         1e3 * m->step_s, m->tokens_per_s, m->peak_bytes / (1 << 20));
  printf("CPU time      %10.1f ms  summed over all ranks\n", 1e3 * m->cpu_s);
  printf("GEMMs alone   %10.1f ms  %8.1f %% of the step; %lld calls of %s, %.1f GFLOP (rank 0)\n",
         1e3 * m->products_s, 100 * m->products_s / m->step_s, (long long)m->product_calls,
         m->backend, 1e-9 * m->product_flops);
  printf("model FLOPs   %10.1f GFLOP/s\n", 1e-9 * m->model_flops_per_s);
  printf("best GEMM     %10.1f GFLOP/s, of which the model reaches %.1f %%; %s\n",
         1e-9 * m->gemm_flops_per_s, 100 * m->model_flops_per_s / m->gemm_flops_per_s, m->gemm);
  printf("scan          %10.2f ms  waiting time per rank and step; %s\n", 1e3 * m->scan_wait_s,
         m->scan);
  if (pairs) {
    printf("scan cost     %10.2f %% of the step, median of pairs (quartiles %.2f and %.2f %%)\n",
           100 * m->scan_cost, 100 * m->scan_cost_low, 100 * m->scan_cost_high);
  }
  if (hyper != NULL) {
    printf("hyperthreads  %10.1f ms  %8.0f tokens/s with %d threads, one per hardware thread\n",
           1e3 * hyper->step_s, hyper->tokens_per_s, hyper->threads);
  }
}

/* Prints the members of the last measurement, and all measurements in the array `threads`. */
static void print_all_json(const rn_measured *m, int count, const char *precision) {
  printf("{");
  print_members(&m[count - 1], precision, false);
  printf(", \"threads\": [");
  rn_scaling_print_json(m, count);
  printf("]}\n");
}

/* ---- the command ---- */

static rn_status measure(rn_err *err, rn_world *world, const rn_bench_options *options,
                         const Retnet__Config *config, rn_measured *out) {
  const rn_measure_options how = {.steps = options->rounds > 0 ? (int)options->rounds : STEPS,
                                  .pairs = options->scan != NULL};
  rn_binding_reset();
  return rn_measure(err, config, world, how, out);
}

/*
 * If physical cores have several hardware threads and the user has not set the thread count,
 * measures with one thread per hardware thread. Otherwise sets out->threads to 0.
 */
static rn_status measure_hyperthreads(rn_err *err, rn_world *world, const rn_bench_options *options,
                                      Retnet__Config *config, int threads, rn_measured *out) {
  rn_cores cores;
  RN_TRY(err, rn_cores_detect(err, world, &cores));
  int64_t each = rn_omp_threads() > 0 || rn_options_given(config, "parallel.threads")
                     ? 1
                     : rn_cores_hyperthreads(cores);
  RN_TRY(err, rn_world_max(err, world, &each, 1));
  out->threads = 0;
  if (each == 1) return RN_OK;
  config->parallel->threads = threads * (int)each;
  return measure(err, world, options, config, out);
}

static rn_status measure_all(rn_err *err, rn_world *world, const rn_bench_options *options,
                             Retnet__Config *config, const rn_bench_counts *counts) {
  rn_measured m[RN_BENCH_MAX_COUNTS], hyper = {.threads = 0};
  char precision[40];
  const bool pairs = options->scan != NULL;
  assert(counts->count >= 0);
  for (int i = 0; i < counts->count; i++) {
    config->parallel->threads = counts->value[i];
    RN_TRY(err, measure(err, world, options, config, &m[i]));
  }
  if (counts->count == 0) {
    RN_TRY(err, measure(err, world, options, config, &m[0]));
    if (!pairs) {
      RN_TRY(err, measure_hyperthreads(err, world, options, config, m[0].threads, &hyper));
    }
  }
  if (rn_world_rank(world) != 0) return RN_OK;
  rn_bench_precision(config, precision, sizeof precision);
  if (counts->count > 1) {
    (options->json ? print_all_json : rn_scaling_print)(m, counts->count, precision);
  } else {
    (options->json ? print_json : print_figures)(&m[0], hyper.threads > 0 ? &hyper : NULL,
                                                 precision, pairs);
  }
  return RN_OK;
}

rn_status rn_bench_step(rn_err *err, rn_world *world, const rn_bench_options *options) {
  Retnet__Config *config = NULL;
  rn_bench_counts counts = {0};
  rn_status status = rn_agree(err, world, parse(err, options, &config, &counts));
  if (status == RN_OK) status = measure_all(err, world, options, config, &counts);
  rn_options_free(&config);
  return status;
}
