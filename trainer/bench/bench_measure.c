#include "trainer/bench/bench_measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/kernel/gemm_replay.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/quantile.h"
#include "trainer/bench/bench_cost.h"
#include "trainer/bench/bench_rate.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/binding.h"
#include "trainer/run/step.h"

/* WARM_UP is the number of steps before the measurement. If steps are run in pairs to measure the
 * scan, matrix products are timed only after each of the first PRODUCTS_BESIDE_PAIRS pairs. */
enum { WARM_UP = 2, PRODUCTS_BESIDE_PAIRS = 3 };

/* The run and its measurements. `none_s` holds the times of the steps without a scan. */
typedef struct bench {
  rn_run run;
  bool pairs;
  rn_rate rate;
  rn_gemm_replay products;
  int64_t calls; /* number of matrix products per step on this rank; `flops` is their total FLOP */
  double flops;
  double peak_bytes;  /* peak memory, read after the warm-up steps; maximum over the ranks */
  double *of_ranks;   /* [ranks] workspace */
  double cpu_s;       /* CPU time of this rank, sum over the timed steps */
  double cpu_all_s;   /* CPU time of all ranks, per step */
  int64_t scan_bytes; /* bytes of states that this rank sends in a step */
  int64_t sum_bytes;  /* bytes of gradients that this rank sends in a step */
  int count;
  rn_phase_times phases; /* `phases` and `subphases` are sums over the timed steps */
  rn_subphases subphases;
  double step_s[RN_QUANTILE_MAX], none_s[RN_QUANTILE_MAX], wait_s[RN_QUANTILE_MAX];
  int products_count;
  double products_s[RN_QUANTILE_MAX];
} bench;

/* ---- a scan port that returns zeros immediately ---- */

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

/* Returns the CPU time of all threads of this process. */
static double processor_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Times one step, from a barrier before it until all ranks have finished it. */
static rn_status time_step(rn_err *err, rn_run *run, rn_scan_port *override, double *step_s,
                           double *wait_s) {
  rn_step_result result = {0};
  RN_TRY(err, rn_world_barrier(err, run->parallel.world));
  const double start_s = rn_clock_s();
  run->parallel.scan.override = override;
  rn_status status = rn_step(err, run, &result);
  run->parallel.scan.override = NULL;
  if (status == RN_OK) status = rn_world_barrier(err, run->parallel.world);
  *step_s = rn_clock_s() - start_s;
  *wait_s = result.scan_wait_s;
  return status;
}

static rn_status time_products(rn_err *err, bench *b, double *products_s) {
  RN_TRY(err, rn_world_barrier(err, b->run.parallel.world));
  const double start_s = rn_clock_s();
  rn_gemm_replay_run(&b->products);
  RN_TRY(err, rn_world_barrier(err, b->run.parallel.world));
  *products_s = rn_clock_s() - start_s;
  return RN_OK;
}

static void add_phases(bench *b) {
  const rn_phase_times step = rn_phase_times_of(rn_spans_get());
  for (int i = 0; i < RN_PHASES; i++) b->phases.s[i] += step.s[i];
  rn_subphases_add(rn_spans_get(), &b->subphases);
}

/* Times a step with the real scan, and records its CPU time, bytes sent and phases. */
static rn_status time_real_step(rn_err *err, bench *b) {
  const double cpu_s = processor_s();
  const int64_t sent = rn_scan_bytes_sent(b->run.parallel.scan.scan);
  const int64_t sums = rn_optimizer_bytes_sent(&b->run.optimizer);
  if (!b->pairs) RN_TRY(err, rn_spans_start(err, 0));
  const rn_status status =
      time_step(err, &b->run, NULL, &b->step_s[b->count], &b->wait_s[b->count]);
  if (!b->pairs) {
    add_phases(b);
    rn_spans_stop();
  }
  if (status != RN_OK) return status;
  b->cpu_s += processor_s() - cpu_s;
  b->scan_bytes = rn_scan_bytes_sent(b->run.parallel.scan.scan) - sent;
  b->sum_bytes = rn_optimizer_bytes_sent(&b->run.optimizer) - sums;
  return RN_OK;
}

/* Times one step with the scan and one without it. The order alternates from pair to pair. */
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
  return stepped != RN_OK ? stepped : rn_agree(err, b->run.parallel.world, status);
}

static rn_status make_rate(rn_err *err, bench *b) {
  RN_TRY(err,
         rn_rate_create(err, b->run.parallel.world, b->run.settings.machine.threads, &b->rate));
  return rn_rate_add_best(err, &b->rate);
}

static rn_status gather_peak(rn_err *err, bench *b) {
  const int ranks = rn_world_size(b->run.parallel.world);
  rn_status status = rn_alloc(err, "ranks", (size_t)ranks, sizeof *b->of_ranks, &b->of_ranks);
  RN_TRY(err, rn_agree(err, b->run.parallel.world, status));
  RN_TRY(err, rn_world_all_gather_double(err, b->run.parallel.world,
                                         (double)rn_machine_peak_bytes(), b->of_ranks));
  for (int r = 0; r < ranks; r++) b->peak_bytes = fmax(b->peak_bytes, b->of_ranks[r]);
  return RN_OK;
}

/* Runs the warm-up steps, and reads the peak memory before the measurement allocates memory. */
static rn_status warm_up(rn_err *err, bench *b) {
  rn_run *run = &b->run;
  double unused;
  for (int i = 0; i < WARM_UP; i++) {
    RN_TRY(err, time_step(err, run, NULL, &unused, &unused));
  }
  RN_TRY(err, gather_peak(err, b));
  RN_TRY(err, record_products(err, b));
  RN_TRY(err, time_products(err, b, &unused));
  return rn_agree(err, run->parallel.world, make_rate(err, b));
}

static rn_status gather_processor_time(rn_err *err, bench *b) {
  RN_TRY(err, rn_world_all_gather_double(err, b->run.parallel.world, b->cpu_s, b->of_ranks));
  for (int r = 0; r < rn_world_size(b->run.parallel.world); r++) {
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

/* ---- results ---- */

static void summarize_times(const bench *b, rn_measured *out) {
  const Retnet__Data *data = b->run.settings.config->data;
  out->step_s = rn_median(b->step_s, b->count);
  out->products_s = rn_median(b->products_s, b->products_count);
  out->scan_wait_s = rn_median(b->wait_s, b->count);
  out->tokens_per_s = (double)data->batch_sequences * data->sequence_length / out->step_s;
  out->model_flops_per_s = out->tokens_per_s * rn_spec_flops_per_token(&b->run.settings.spec);
  for (int i = 0; i < RN_PHASES; i++) out->phases.s[i] = b->phases.s[i] / b->count;
  const rn_rate_gemm *best = rn_rate_best(&b->rate);
  out->gemm_flops_per_s = rn_rate_flops_per_s(&b->rate, best);
  snprintf(out->gemm, sizeof out->gemm, "%dx%dx%d by %s in %s", best->m, best->n, best->k,
           best->table->name, rn_rate_way_name(best->way));
}

static void summarize_pairs(const bench *b, rn_measured *out) {
  double cost[RN_QUANTILE_MAX];
  for (int i = 0; i < b->count; i++) cost[i] = 1 - b->none_s[i] / b->step_s[i];
  out->without_scan_s = rn_median(b->none_s, b->count);
  out->scan_cost = rn_median(cost, b->count);
  out->scan_cost_low = rn_quantile(cost, b->count, 0.25);
  out->scan_cost_high = rn_quantile(cost, b->count, 0.75);
}

static void summarize(const bench *b, rn_measured *out) {
  *out = (rn_measured){.ranks = rn_world_size(b->run.parallel.world),
                       .threads = b->run.settings.machine.threads,
                       .steps = b->count,
                       .subphases = b->subphases,
                       .cost = rn_bench_cost(&b->run),
                       .cpu_s = b->cpu_all_s,
                       .peak_bytes = b->peak_bytes,
                       .product_calls = b->calls,
                       .product_flops = b->flops,
                       .backend = b->products.table->name,
                       .scan_name = rn_scan_name(b->run.parallel.scan.algorithm),
                       .scan_bytes = b->scan_bytes,
                       .sum_bytes = b->sum_bytes,
                       .comm_thread = b->run.parallel.comm_thread != NULL};
  rn_scan_describe(b->run.parallel.scan.scan, out->scan, sizeof out->scan);
  rn_launch_describe(b->run.parallel.world, b->run.parallel.comm_thread, out->messages,
                     sizeof out->messages);
  rn_binding_describe(out->binding, sizeof out->binding);
  summarize_times(b, out);
  if (b->pairs) summarize_pairs(b, out);
}

static rn_status check_pairs(rn_err *err, const bench *b) {
  if (!b->pairs || b->run.settings.plan.layout.sequence > 1) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "--scan none: there is no scan to measure, because no sequence is divided among "
                 "ranks; use mpirun and, for example, -s parallel.sequence=2");
}

rn_status rn_measure(rn_err *err, const Retnet__Config *config, rn_world *world,
                     rn_measure_options options, rn_measured *out) {
  bench b = {.pairs = options.pairs};
  RN_TRY(err, rn_run_create(err, config, world, &b.run));
  rn_status status = check_pairs(err, &b);
  if (status == RN_OK && (status = time_steps(err, &b, options.steps)) == RN_OK) {
    summarize(&b, out);
  }
  free(b.of_ranks);
  rn_rate_destroy(&b.rate);
  rn_gemm_replay_destroy(&b.products);
  if (status != RN_ERR_MPI) rn_run_destroy(&b.run);
  return status;
}
