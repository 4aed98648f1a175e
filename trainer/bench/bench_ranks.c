/*
 * retnet-bench ranks measures the cost of sharing sequences among ranks. Steps in which all ranks
 * share each sequence alternate with steps in which each rank has separate sequences.
 */
#include <stdio.h>

#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/base/quantile.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/launch/launch.h"
#include "trainer/run/step.h"

enum { STEPS = 10, WARM_UP = 2, DIRECTIONS = 2 };

/* Layouts to compare: all ranks share each sequence (SEQUENCE), or each rank has separate ones
 * (DATA). */
typedef enum { SEQUENCE, DATA, LAYOUTS } layout;

typedef struct bench {
  rn_world *world;
  rn_run run[LAYOUTS];
  int count;
  double step_s[LAYOUTS][RN_QUANTILE_MAX];
  double wait_s[DIRECTIONS][RN_QUANTILE_MAX]; /* longest wait of a rank for states */
  double held_s[DIRECTIONS][RN_QUANTILE_MAX]; /* waits due to injected delays, sum over the ranks */
} bench;

/* Multiplies one of the two sizes of the batch by the number of ranks. With DATA, this is
 * batch_sequences, and each rank works on its own sequences. With SEQUENCE, it is sequence_length,
 * and each rank works on its part of all sequences. A rank has the same number of tokens in both
 * layouts. */
static rn_status distribute(rn_err *err, Retnet__Config *config, layout l, int ranks) {
  int32_t *grown = l == SEQUENCE ? &config->data->sequence_length : &config->data->batch_sequences;
  if (*grown > INT32_MAX / ranks) {
    return rn_fail(err, RN_ERR_USAGE,
                   "data.sequence_length and data.batch_sequences are sizes per rank: a size of %d "
                   "is too large for %d ranks",
                   *grown, ranks);
  }
  *grown *= ranks;
  config->parallel->data = l == DATA ? ranks : 1;
  config->parallel->sequence = l == SEQUENCE ? ranks : 1;
  config->parallel->pipeline = 1;
  return RN_OK;
}

static rn_status load(rn_err *err, const rn_bench_options *options, layout l, int ranks,
                      Retnet__Config **out) {
  RN_TRY(err, rn_bench_config(err, options, out));
  return distribute(err, *out, l, ranks);
}

static rn_status open_run(rn_err *err, bench *b, const rn_bench_options *options, layout l) {
  Retnet__Config *config = NULL;
  rn_status status =
      rn_agree(err, b->world, load(err, options, l, rn_world_size(b->world), &config));
  if (status == RN_OK) status = rn_run_create(err, config, b->world, &b->run[l]);
  rn_options_free(&config);
  return status;
}

/* Times one step, from a barrier before it until all ranks have finished it. */
static rn_status time_step(rn_err *err, bench *b, layout l, double *step_s) {
  rn_step_result unused;
  RN_TRY(err, rn_world_barrier(err, b->world));
  const double start_s = rn_clock_s();
  RN_TRY(err, rn_step(err, &b->run[l], &unused));
  RN_TRY(err, rn_world_barrier(err, b->world));
  *step_s = rn_clock_s() - start_s;
  return RN_OK;
}

/* Sets ns[0] to the time, in each direction, that this rank has waited for states so far, and ns[1]
 * to the part of it that was caused by injected delays: the fault scan.message holds messages back.
 */
static void waited_ns(const bench *b, int64_t ns[2][DIRECTIONS]) {
  const rn_scan *scan = b->run[SEQUENCE].parallel.scan.scan;
  for (int d = 0; d < DIRECTIONS; d++) {
    ns[0][d] = (int64_t)(1e9 * rn_scan_wait_s(scan, (rn_scan_direction)d));
    ns[1][d] = (int64_t)(1e9 * rn_scan_held_s(scan, (rn_scan_direction)d));
  }
}

/* Times one step of each layout. The order alternates from pair to pair. */
static rn_status time_pair(rn_err *err, bench *b, int i) {
  int64_t before_ns[2][DIRECTIONS], ns[2][DIRECTIONS];
  waited_ns(b, before_ns);
  for (int k = 0; k < LAYOUTS; k++) {
    const layout l = (layout)((k + i) % LAYOUTS);
    RN_TRY(err, time_step(err, b, l, &b->step_s[l][i]));
  }
  waited_ns(b, ns);
  for (int d = 0; d < 2 * DIRECTIONS; d++)
    ns[d / DIRECTIONS][d % DIRECTIONS] -= before_ns[d / DIRECTIONS][d % DIRECTIONS];
  RN_TRY(err, rn_world_max(err, b->world, ns[0], DIRECTIONS));
  RN_TRY(err, rn_world_sum(err, b->world, ns[1], DIRECTIONS));
  for (int d = 0; d < DIRECTIONS; d++) {
    b->wait_s[d][i] = 1e-9 * (double)ns[0][d];
    b->held_s[d][i] = 1e-9 * (double)ns[1][d];
  }
  return RN_OK;
}

static rn_status time_pairs(rn_err *err, bench *b, int count) {
  for (int i = 0; i < WARM_UP; i++) RN_TRY(err, time_pair(err, b, i));
  for (b->count = 0; b->count < count; b->count++) RN_TRY(err, time_pair(err, b, b->count));
  return RN_OK;
}

/* ---- results ---- */

/* Returns a quantile, over the pairs, of the time of the step with shared sequences divided by the
 * time of the step with separate sequences. */
static double ratio(const bench *b, double share) {
  double pair[RN_QUANTILE_MAX];
  for (int i = 0; i < b->count; i++) pair[i] = b->step_s[SEQUENCE][i] / b->step_s[DATA][i];
  return rn_quantile(pair, b->count, share);
}

static void print_json(const bench *b) {
  printf("{\"ranks\": %d, \"threads\": %d, \"pairs\": %d, \"sequence_step_s\": %s, ",
         rn_world_size(b->world), b->run[SEQUENCE].settings.machine.threads, b->count,
         RN_JSON(rn_median(b->step_s[SEQUENCE], b->count)));
  printf("\"data_step_s\": %s, \"sequence_over_data\": %s, ",
         RN_JSON(rn_median(b->step_s[DATA], b->count)), RN_JSON(ratio(b, 0.5)));
  printf("\"sequence_over_data_quarters\": [%s, %s], ", RN_JSON(ratio(b, 0.25)),
         RN_JSON(ratio(b, 0.75)));
  printf("\"wait_forward_s\": %s, \"wait_backward_s\": %s, ",
         RN_JSON(rn_median(b->wait_s[RN_SCAN_FORWARD], b->count)),
         RN_JSON(rn_median(b->wait_s[RN_SCAN_REVERSE], b->count)));
  printf("\"held_forward_s\": %s, \"held_backward_s\": %s}\n",
         RN_JSON(rn_median(b->held_s[RN_SCAN_FORWARD], b->count)),
         RN_JSON(rn_median(b->held_s[RN_SCAN_REVERSE], b->count)));
}

static void print_figures(const bench *b) {
  const rn_parallel_context *parallel = &b->run[SEQUENCE].parallel;
  char scan[120], messages[120];
  rn_scan_describe(parallel->scan.scan, scan, sizeof scan);
  rn_launch_describe(b->world, parallel->comm_thread, messages, sizeof messages);
  printf("%d ranks of %d threads; scan %s; %s; medians of %d pairs of steps\n",
         rn_world_size(b->world), b->run[SEQUENCE].settings.machine.threads, scan, messages,
         b->count);
  printf("all ranks share each sequence  %10.1f ms\n",
         1e3 * rn_median(b->step_s[SEQUENCE], b->count));
  printf("separate sequences per rank    %10.1f ms\n", 1e3 * rn_median(b->step_s[DATA], b->count));
  printf("ratio of a pair                %10.3f     (quartiles %.3f and %.3f)\n", ratio(b, 0.5),
         ratio(b, 0.25), ratio(b, 0.75));
  printf("wait for states, forward       %10.2f ms  per step, on the rank that waits longest\n",
         1e3 * rn_median(b->wait_s[RN_SCAN_FORWARD], b->count));
  printf("wait for states, backward      %10.2f ms\n",
         1e3 * rn_median(b->wait_s[RN_SCAN_REVERSE], b->count));
}

rn_status rn_bench_ranks(rn_err *err, rn_world *world, const rn_bench_options *options) {
  bench b = {.world = world};
  int opened = 0;
  if (rn_world_size(world) == 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "sharing a sequence needs at least two ranks: mpirun -np 2 retnet-bench ranks");
  }
  rn_status status = RN_OK;
  while (opened < LAYOUTS && status == RN_OK) {
    status = open_run(err, &b, options, (layout)opened);
    opened += status == RN_OK;
  }
  if (status == RN_OK) {
    status = time_pairs(err, &b, options->rounds > 0 ? (int)options->rounds : STEPS);
  }
  if (status == RN_OK && rn_world_rank(world) == 0)
    (options->json ? print_json : print_figures)(&b);
  for (int l = 0; status != RN_ERR_MPI && l < opened; l++) rn_run_destroy(&b.run[l]);
  return status;
}
