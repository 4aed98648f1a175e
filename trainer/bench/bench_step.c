/*
 * retnet-bench step: training steps on synthetic tokens, and where their time is lost.
 *
 * The time outside of matrix products follows from the products of one step, which are recorded and
 * replayed alone after each timed step. The efficiency of the products follows from the best GEMM
 * rate of the machine, sampled between the steps. The cost of the scan follows from pairs of steps,
 * one with the scan and one with a port that returns zeros at once (wrong results, valid timing).
 * All are measured in one run, so fluctuations of the machine affect all alike.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/kernel/gemm_replay.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/bench/bench_rate.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/binding.h"
#include "trainer/run/step.h"

/* With pairs, which measure the scan, the products are timed after the first few steps only. */
enum { WARM_UP = 2, STEPS = 10, PRODUCTS_BESIDE_PAIRS = 3 };

/* The run and its measurements; `none` is for steps without a scan. */
typedef struct bench {
  rn_run run;
  bool pairs;
  rn_rate rate;
  rn_gemm_replay products;
  int64_t calls; /* products of a step on this rank; flops: their work */
  double flops;
  double peak_bytes;  /* of the steps only, maximum over the ranks */
  double *of_ranks;   /* [ranks] workspace */
  double cpu_s;       /* CPU time of this rank, sum over the timed steps */
  double cpu_all_s;   /* CPU time of all ranks, per step */
  int64_t scan_bytes; /* states that this rank sends in a step */
  int64_t sum_bytes;  /* gradients that this rank sends in a step */
  int count;
  double step_s[RN_QUANTILE_MAX], none_s[RN_QUANTILE_MAX], wait_s[RN_QUANTILE_MAX];
  int products_count;
  double products_s[RN_QUANTILE_MAX];
} bench;

/* ---- a scan port that returns zeros at once ---- */

static rn_status zero_begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                            rn_scan_element element) {
  (void)err, (void)direction, (void)layer;
  *(size_t *)self = (size_t)(element.n * element.m) * sizeof *element.own;
  return RN_OK;
}

static void zero_poll(void *self) {
  (void)self;
}

static rn_status zero_end(void *self, rn_err *err, float *before) {
  (void)err;
  memset(before, 0, *(size_t *)self);
  return RN_OK;
}

/* ---- timing ---- */

/* CPU time of this process, all threads. */
static double processor_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Times one step from a common start to the end on the last rank. */
static rn_status time_step(rn_err *err, rn_run *run, rn_scan_port *override, double *step_s,
                           double *wait_s) {
  rn_step_result result;
  run->scan.override = override;
  RN_TRY(err, rn_world_barrier(err, run->world));
  const double start_s = rn_clock_s();
  RN_TRY(err, rn_step(err, run, &result));
  RN_TRY(err, rn_world_barrier(err, run->world));
  *step_s = rn_clock_s() - start_s;
  *wait_s = result.scan_wait_s;
  return RN_OK;
}

static rn_status time_products(rn_err *err, bench *b, double *products_s) {
  RN_TRY(err, rn_world_barrier(err, b->run.world));
  const double start_s = rn_clock_s();
  rn_gemm_replay_run(&b->products);
  RN_TRY(err, rn_world_barrier(err, b->run.world));
  *products_s = rn_clock_s() - start_s;
  return RN_OK;
}

/* Times a step with the real scan; its figures are reported. */
static rn_status time_real_step(rn_err *err, bench *b) {
  const double cpu_s = processor_s();
  const int64_t sent = rn_scan_bytes_sent(b->run.scan.scan);
  const int64_t sums = rn_reduce_scatter_bytes_sent(b->run.optimizer.reduce_scatter);
  RN_TRY(err, time_step(err, &b->run, NULL, &b->step_s[b->count], &b->wait_s[b->count]));
  b->cpu_s += processor_s() - cpu_s;
  b->scan_bytes = rn_scan_bytes_sent(b->run.scan.scan) - sent;
  b->sum_bytes = rn_reduce_scatter_bytes_sent(b->run.optimizer.reduce_scatter) - sums;
  return RN_OK;
}

/* Every other pair begins with the step without scan. */
static rn_status time_pair(rn_err *err, bench *b, rn_scan_port *none) {
  const int i = b->count;
  double unused;
  if (i % 2 != 0) RN_TRY(err, time_step(err, &b->run, none, &b->none_s[i], &unused));
  RN_TRY(err, time_real_step(err, b));
  return i % 2 != 0 ? RN_OK : time_step(err, &b->run, none, &b->none_s[i], &unused);
}

/* Runs one more step and records its matrix products. */
static rn_status record_products(rn_err *err, bench *b) {
  rn_gemm_record record = {0};
  rn_step_result unused;
  rn_gemm_record_start(&record);
  rn_status stepped = rn_step(err, &b->run, &unused);
  rn_status status = rn_gemm_record_stop(err, &record);
  if (stepped == RN_OK && status == RN_OK) {
    status = rn_gemm_replay_create(err, &record, &b->products);
  }
  b->calls = record.count;
  b->flops = record.flops;
  rn_gemm_record_destroy(&record);
  return stepped != RN_OK ? stepped : rn_agree(err, b->run.world, status);
}

static rn_status make_rate(rn_err *err, bench *b) {
  RN_TRY(err, rn_rate_create(err, b->run.world, b->run.threads, &b->rate));
  return rn_rate_add_best(err, &b->rate);
}

static rn_status gather_peak(rn_err *err, bench *b) {
  const int ranks = rn_world_size(b->run.world);
  rn_status status = rn_alloc(err, "ranks", (size_t)ranks, sizeof *b->of_ranks, &b->of_ranks);
  RN_TRY(err, rn_agree(err, b->run.world, status));
  RN_TRY(err, rn_world_all_gather_double(err, b->run.world, (double)rn_machine_peak_bytes(),
                                         b->of_ranks));
  for (int r = 0; r < ranks; r++) b->peak_bytes = fmax(b->peak_bytes, b->of_ranks[r]);
  return RN_OK;
}

/* Reads the peak memory of the steps before the measurement allocates its own. */
static rn_status warm_up(rn_err *err, bench *b) {
  rn_run *run = &b->run;
  double unused;
  for (int i = 0; i < WARM_UP; i++) {
    RN_TRY(err, time_step(err, run, NULL, &unused, &unused));
  }
  RN_TRY(err, gather_peak(err, b));
  RN_TRY(err, record_products(err, b));
  RN_TRY(err, time_products(err, b, &unused));
  return rn_agree(err, run->world, make_rate(err, b));
}

static rn_status gather_processor_time(rn_err *err, bench *b) {
  RN_TRY(err, rn_world_all_gather_double(err, b->run.world, b->cpu_s, b->of_ranks));
  for (int r = 0; r < rn_world_size(b->run.world); r++) {
    b->cpu_all_s += b->of_ranks[r] / b->count;
  }
  return RN_OK;
}

static rn_status time_steps(rn_err *err, bench *b, int steps) {
  size_t bytes = 0;
  rn_scan_port none = {.self = &bytes, .begin = zero_begin, .poll = zero_poll, .end = zero_end};
  RN_TRY(err, warm_up(err, b));
  for (b->count = 0; b->count < steps; b->count++) {
    RN_TRY(err, b->pairs ? time_pair(err, b, &none) : time_real_step(err, b));
    if (b->pairs && b->count >= PRODUCTS_BESIDE_PAIRS) continue;
    RN_TRY(err, time_products(err, b, &b->products_s[b->products_count++]));
    RN_TRY(err, rn_rate_sample(err, &b->rate));
  }
  return gather_processor_time(err, b);
}

/* ---- output ---- */

/* Medians and derived values. */
typedef struct result {
  double step_s, products_s, wait_s, tokens_per_s, flops_per_s, gemm_flops_per_s;
  char gemm[80];
  double none_s, cost, cost_low, cost_high; /* of the scan, with pairs */
} result;

static result result_of(const bench *b) {
  const Retnet__Data *data = b->run.config->data;
  result r = {.step_s = rn_median(b->step_s, b->count),
              .products_s = rn_median(b->products_s, b->products_count),
              .wait_s = rn_median(b->wait_s, b->count)};
  r.tokens_per_s = (double)data->batch_sequences * data->sequence_length / r.step_s;
  r.flops_per_s = r.tokens_per_s * rn_spec_flops_per_token(&b->run.spec);
  const rn_rate_gemm *best = rn_rate_best(&b->rate);
  r.gemm_flops_per_s = rn_rate_flops_per_s(&b->rate, best);
  snprintf(r.gemm, sizeof r.gemm, "%dx%dx%d by %s in %s", best->m, best->n, best->k,
           best->table->name, rn_rate_way_name(best->way));
  if (!b->pairs) return r;
  double cost[RN_QUANTILE_MAX];
  for (int i = 0; i < b->count; i++) cost[i] = 1 - b->none_s[i] / b->step_s[i];
  r.none_s = rn_median(b->none_s, b->count);
  r.cost = rn_median(cost, b->count);
  r.cost_low = rn_quantile(cost, b->count, 0.25);
  r.cost_high = rn_quantile(cost, b->count, 0.75);
  return r;
}

static void print_json(const bench *b) {
  const result r = result_of(b);
  char precision[40];
  rn_bench_precision(b->run.config, precision, sizeof precision);
  printf("{\"ranks\": %d, \"precision\": \"%s\", \"threads\": %d, \"steps\": %d, \"step_s\": %s, ",
         rn_world_size(b->run.world), precision, b->run.threads, b->count, RN_JSON(r.step_s));
  printf("\"tokens_per_s\": %s, \"products_s\": %s, \"products_share\": %s, ",
         RN_JSON(r.tokens_per_s), RN_JSON(r.products_s), RN_JSON(r.products_s / r.step_s));
  printf("\"products\": \"%s\", \"product_calls\": %lld, \"product_flops\": %s, ",
         b->products.table->name, (long long)b->calls, RN_JSON(b->flops));
  printf("\"model_flops_per_s\": %s, \"gemm_flops_per_s\": %s, \"gemm\": \"%s\", ",
         RN_JSON(r.flops_per_s), RN_JSON(r.gemm_flops_per_s), r.gemm);
  printf("\"gemm_share\": %s, \"peak_bytes\": %.0f, ", RN_JSON(r.flops_per_s / r.gemm_flops_per_s),
         b->peak_bytes);
  printf("\"cpu_s\": %s, \"scan\": \"%s\", \"scan_wait_s\": %s, \"scan_bytes\": %lld, ",
         RN_JSON(b->cpu_all_s), rn_scan_name(b->run.scan.algorithm), RN_JSON(r.wait_s),
         (long long)b->scan_bytes);
  printf("\"sum_bytes\": %lld, ", (long long)b->sum_bytes);
  printf("\"comm_thread\": %s", b->run.comm_thread != NULL ? "true" : "false");
  if (b->pairs) {
    printf(", \"pairs\": %d, \"step_without_scan_s\": %s, \"scan_cost\": %s, ", b->count,
           RN_JSON(r.none_s), RN_JSON(r.cost));
    printf("\"scan_cost_quarters\": [%s, %s]", RN_JSON(r.cost_low), RN_JSON(r.cost_high));
  }
  printf("}\n");
}

static void print_table(const bench *b) {
  const result r = result_of(b);
  char scan[120], precision[40], messages[80], bound[160];
  rn_scan_describe(b->run.scan.scan, scan, sizeof scan);
  rn_launch_describe(b->run.world, b->run.comm_thread, messages, sizeof messages);
  rn_bench_precision(b->run.config, precision, sizeof precision);
  rn_binding_describe(bound, sizeof bound);
  printf("%d ranks of %d threads, %s; %s, %s; medians of %d\n", rn_world_size(b->run.world),
         b->run.threads, bound, precision, messages, b->count);
  printf("step          %10.1f ms  %8.0f tokens/s, peak memory %.0f MiB a rank\n", 1e3 * r.step_s,
         r.tokens_per_s, b->peak_bytes / (1 << 20));
  printf("processor     %10.1f ms  of all ranks together\n", 1e3 * b->cpu_all_s);
  printf("its products  %10.1f ms  %8.1f %% of the step; %lld by %s, %.1f GFLOP (rank 0)\n",
         1e3 * r.products_s, 100 * r.products_s / r.step_s, (long long)b->calls,
         b->products.table->name, 1e-9 * b->flops);
  printf("model         %10.1f GFLOP/s\n", 1e-9 * r.flops_per_s);
  printf("best product  %10.1f GFLOP/s, of which the model reaches %.1f %%; %s\n",
         1e-9 * r.gemm_flops_per_s, 100 * r.flops_per_s / r.gemm_flops_per_s, r.gemm);
  printf("scan          %10.2f ms  a rank waits for it in a step; %s\n", 1e3 * r.wait_s, scan);
  if (b->pairs) {
    printf("scan's cost   %10.2f %% of the step, median of pairs (quarters %.2f and %.2f %%)\n",
           100 * r.cost, 100 * r.cost_low, 100 * r.cost_high);
  }
}

/* ---- the command ---- */

static rn_status check(rn_err *err, const rn_bench_options *options) {
  if (options->scan == NULL || strcmp(options->scan, "none") == 0) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "--scan %s: only none; -s parallel.scan=... chooses one",
                 options->scan);
}

static rn_status measure(rn_err *err, bench *b, const rn_bench_options *options) {
  if (b->pairs && b->run.layout.sequence == 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--scan none: there is no scan, since no sequence is cut over ranks: use "
                   "mpirun, and -s parallel.sequence=2 for example");
  }
  RN_TRY(err, time_steps(err, b, options->rounds > 0 ? (int)options->rounds : STEPS));
  if (rn_world_rank(b->run.world) != 0) return RN_OK;
  if (options->json) {
    print_json(b);
  } else {
    print_table(b);
  }
  return RN_OK;
}

rn_status rn_bench_step(rn_err *err, rn_world *world, const rn_bench_options *options) {
  Retnet__Config *config = NULL;
  bench b = {.pairs = options->scan != NULL};
  RN_TRY(err, check(err, options));
  rn_status status = rn_agree(err, world, rn_bench_config(err, options, &config));
  if (status == RN_OK && (status = rn_run_create(err, config, world, &b.run)) == RN_OK) {
    status = measure(err, &b, options);
    free(b.of_ranks);
    rn_rate_destroy(&b.rate);
    rn_gemm_replay_destroy(&b.products);
    if (status != RN_ERR_MPI) rn_run_destroy(&b.run);
  }
  rn_options_free(&config);
  return status;
}
