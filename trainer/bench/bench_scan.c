/* retnet-bench scan measures the time of each scan algorithm on these ranks and predicts it for
 * more ranks. */
#include <stdio.h>
#include <stdlib.h>

#include "comm/scan/scan.h"
#include "comm/scan/scan_cost.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "trainer/bench/bench.h"

enum {
  HEADS = 4,
  ALGORITHMS = RN_SCAN_SELECTABLE,
  SIZES = 8,
  MIN_BYTES = 1024,
  GROWTH = 4,
  ROUNDS = 9,
  MODELLED = 2
};

static const int modelled_ranks[MODELLED] = {64, 512};

/* Times of each algorithm for states of `bytes` bytes. */
typedef struct row {
  int64_t bytes;
  double measured_s[ALGORITHMS], modelled_s[MODELLED][ALGORITHMS];
} row;

typedef struct bench {
  rn_world *world;
  rn_grid *grid;
  rn_scan_cost cost;
  float *own, *before;
  row rows[SIZES];
} bench;

static int compare(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Times one scan, from a common start until the slowest rank has finished. No computation overlaps
 * the scan. */
static rn_status one_round(rn_err *err, bench *b, rn_scan *scan, int64_t matrix, int64_t *ns) {
  static const double log_decay[HEADS] = {-0.1, -0.05, -0.02, -0.01};
  rn_scan_port *port = rn_scan_port_of(scan);
  RN_TRY(err, rn_world_barrier(err, b->world));
  const double start_s = rn_clock_s();
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_FORWARD, 0,
                          (rn_scan_element){HEADS, matrix, log_decay, b->own}));
  RN_TRY(err, port->end(port->self, err, b->before));
  *ns = (int64_t)(1e9 * (rn_clock_s() - start_s));
  return rn_world_max(err, b->world, ns, 1);
}

/* Measures the median time of ROUNDS scans, after a warm-up scan that is not counted. */
static rn_status measure(rn_err *err, bench *b, rn_scan_algorithm algorithm, int64_t bytes,
                         double *median_s) {
  const int64_t matrix = bytes / HEADS / (int64_t)sizeof(float);
  const rn_scan_shape shape = {.heads = HEADS, .matrix = matrix, .layers = 1, .segments = 1};
  int64_t ns[ROUNDS + 1];
  rn_scan *scan = NULL;
  RN_TRY(err, rn_agree(err, b->world, rn_scan_create(err, b->grid, algorithm, shape, &scan)));
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i <= ROUNDS; i++) {
    status = one_round(err, b, scan, matrix, &ns[i]);
  }
  rn_scan_destroy(&scan);
  if (status != RN_OK) return status;
  qsort(ns + 1, ROUNDS, sizeof ns[0], compare);
  const int64_t median_ns = ns[1 + ROUNDS / 2];
  *median_s = 1e-9 * (double)median_ns;
  return RN_OK;
}

static rn_status fill_row(rn_err *err, bench *b, int64_t bytes, row *r) {
  r->bytes = bytes;
  for (int a = 0; a < ALGORITHMS; a++) {
    RN_TRY(err, measure(err, b, (rn_scan_algorithm)a, bytes, &r->measured_s[a]));
    for (int i = 0; i < MODELLED; i++) {
      const int ranks = modelled_ranks[i];
      r->modelled_s[i][a] = rn_scan_cost_s(b->cost, (rn_scan_algorithm)a, ranks, bytes,
                                           rn_scan_cost_block(b->cost, ranks, bytes));
    }
  }
  return RN_OK;
}

static rn_status fill_rows(rn_err *err, bench *b) {
  int64_t bytes = MIN_BYTES;
  RN_TRY(err, rn_scan_cost_measure(err, rn_grid_sequence_comm(b->grid), &b->cost));
  for (int i = 0; i < SIZES; i++, bytes *= GROWTH) {
    RN_TRY(err, fill_row(err, b, bytes, &b->rows[i]));
  }
  return RN_OK;
}

static void print_group(const double *seconds) {
  for (int a = 0; a < ALGORITHMS; a++) printf(" %10.1f", 1e6 * seconds[a]);
}

static void print_table(const bench *b) {
  printf(
      "Scan of a state over %d ranks, without overlap, in microseconds; medians of %d samples.\n",
      rn_world_size(b->world), ROUNDS);
  printf("Message latency %.1f us, bandwidth %.2f GB/s; combining two states %.2f GB/s.\n",
         1e6 * b->cost.latency_s, 1e-9 / b->cost.byte_s, 1e-9 / b->cost.combine_s);
  printf("%10s %32s", "", "measured");
  for (int i = 0; i < MODELLED; i++) printf("   MODELLED, not run: %4d ranks  ", modelled_ranks[i]);
  printf("\n%10s", "state KiB");
  for (int group = 0; group <= MODELLED; group++) {
    for (int a = 0; a < ALGORITHMS; a++) printf(" %10s", rn_scan_name((rn_scan_algorithm)a));
  }
  printf("\n");
  for (int i = 0; i < SIZES; i++) {
    printf("%10lld", (long long)b->rows[i].bytes / 1024);
    print_group(b->rows[i].measured_s);
    for (int m = 0; m < MODELLED; m++) print_group(b->rows[i].modelled_s[m]);
    printf("\n");
  }
}

static void print_members(const double *seconds) {
  for (int a = 0; a < ALGORITHMS; a++) {
    printf("%s\"%s_s\": %s", a > 0 ? ", " : "", rn_scan_name((rn_scan_algorithm)a),
           RN_JSON(seconds[a]));
  }
}

static void print_json(const bench *b) {
  printf("{\"ranks\": %d, \"latency_s\": %s, \"byte_s\": %s, \"combine_byte_s\": %s",
         rn_world_size(b->world), RN_JSON(b->cost.latency_s), RN_JSON(b->cost.byte_s),
         RN_JSON(b->cost.combine_s));
  printf(",\n \"states\": [");
  for (int i = 0; i < SIZES; i++) {
    printf("%s\n  {\"bytes\": %lld, \"measured\": {", i > 0 ? "," : "",
           (long long)b->rows[i].bytes);
    print_members(b->rows[i].measured_s);
    printf("}, \"modelled\": [");
    for (int m = 0; m < MODELLED; m++) {
      printf("%s{\"ranks\": %d, ", m > 0 ? ", " : "", modelled_ranks[m]);
      print_members(b->rows[i].modelled_s[m]);
      printf("}");
    }
    printf("]}");
  }
  printf("]}\n");
}

static rn_status take_states(rn_err *err, bench *b) {
  size_t count = MIN_BYTES / sizeof(float);
  for (int i = 1; i < SIZES; i++) count *= GROWTH;
  RN_TRY(err, rn_alloc(err, "states", count, sizeof(float), &b->own));
  RN_TRY(err, rn_alloc(err, "states", count, sizeof(float), &b->before));
  for (size_t i = 0; i < count; i++) b->own[i] = 1;
  return RN_OK;
}

rn_status rn_bench_scan(rn_err *err, rn_world *world, const rn_bench_options *options) {
  const int ranks = rn_world_size(world);
  bench b = {.world = world};
  if (ranks == 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "a scan needs at least two ranks: mpirun -np 2 retnet-bench scan");
  }
  rn_status status = rn_grid_create(err, world, 1, 1, ranks, &b.grid);
  if (status == RN_OK) status = rn_agree(err, world, take_states(err, &b));
  if (status == RN_OK) status = fill_rows(err, &b);
  if (status == RN_OK && rn_world_rank(world) == 0) (options->json ? print_json : print_table)(&b);
  rn_grid_destroy(&b.grid);
  free(b.own);
  free(b.before);
  return status;
}
