/*
 * retnet-bench kernels measures how close each kernel comes to its limit.
 *
 * Chunk kernels are limited by the GEMM rate. Row-wise kernels process 512 KiB per thread. This
 * data stays in the cache of the core, as the rows between two matrix products do in training. The
 * limit of a row-wise kernel is the rate of the simplest one, y = a * y + x. Optimizer kernels
 * stream over arrays in memory; their limit is the rate of y = a * y + x on such arrays, or of a
 * read-only sweep for kernels that only read. All threads run the same kernel at the same time.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/bench/bench_kernel_list.h"
#include "trainer/bench/bench_rate.h"
#include "trainer/bench/bench_sweep.h"
#include "trainer/optimizer/adamw.h"

enum { ROUNDS = 5, SETS = 4, MAX_LINES = 100, MEMORY_ELEMENTS = 1 << 24, MEMORY_ARRAYS = 4 };

static const double sample_s = 5e-3;

/* Result for one kernel of one instruction set, summed over the threads. */
typedef struct line {
  const char *name, *set;
  bool products; /* true: rate in FLOP/s; false: in bytes/s */
  double call_s, rate;
  const double *limit;
} line;

typedef struct bench {
  rn_world *world;
  int threads, rounds;
  rn_kernel_bench kernels;
  rn_kernel_buffers *buffers; /* [threads] */
  float *memory[MEMORY_ARRAYS];
  double product_limit, cache_limit, memory_limit, read_limit;
  line line[MAX_LINES];
  int lines;
} bench;

/* ---- running a kernel on all threads ---- */

typedef void run_kernel(const rn_kernel_bench *bench, const rn_kernel_buffers *buffers);

/* Returns the seconds of `times` runs on all threads at the same time. */
static double run(bench *b, run_kernel *work, int times) {
  const double begin_s = rn_clock_s();
#pragma omp parallel num_threads(b->threads)
  {
    const rn_kernel_buffers *buffers = &b->buffers[omp_get_thread_num()];
    for (int i = 0; i < times; i++) work(&b->kernels, buffers);
  }
  return rn_clock_s() - begin_s;
}

/* Returns the median seconds of one run. */
static double time_run(bench *b, run_kernel *work) {
  double sample[RN_QUANTILE_MAX];
  int times = 1;
  while (run(b, work, times) < sample_s / 2) times *= 2;
  for (int i = 0; i < b->rounds; i++) sample[i] = run(b, work, times) / times;
  return rn_median(sample, b->rounds);
}

static void add_line(bench *b, line l) {
  if (b->lines < MAX_LINES) b->line[b->lines++] = l;
}

static void time_kernels(bench *b) {
  for (int i = 0; rn_kernel_case_at(i) != NULL; i++) {
    const rn_kernel_case *c = rn_kernel_case_at(i);
    for (int set = 0; set < SETS && rn_kernels_use(set); set++) {
      b->kernels.kernels = rn_kernels_table();
      const bool products = c->flops != NULL;
      const double work = products ? c->flops(&b->kernels) : c->bytes(&b->kernels);
      const double call_s = time_run(b, c->run);
      const double rate = work * b->threads / call_s;
      if (c == rn_kernel_case_plainest() && rate > b->cache_limit) b->cache_limit = rate;
      add_line(b, (line){c->name, b->kernels.kernels->name, products, call_s, rate,
                         products ? &b->product_limit : &b->cache_limit});
    }
  }
}

/* ---- kernels over memory ---- */

static void scale_and_add(float *const *x) {
  rn_sweep_scale_and_add(MEMORY_ELEMENTS, x[1], x[0]);
}

static void read_all(float *const *x) {
  rn_sweep_read(MEMORY_ELEMENTS, x[0], x[1]);
}

static void adamw(float *const *x) {
  const rn_adamw o = {0.9, 0.98, 1e-8, 0.05, RN_EPS_TORCH};
  const rn_adamw_step step = {.lr = 1e-4, .update = 100, .clip = 1, .decay = true};
  rn_adamw_update(&o, step, MEMORY_ELEMENTS, x[0], (rn_adamw_state){x[1], x[2], x[3]});
}

static void squares(float *const *x) {
  x[1][0] = (float)rn_sum_of_squares(MEMORY_ELEMENTS, x[0]);
}

static double time_over_memory(bench *b, void (*work)(float *const *)) {
  double sample[RN_QUANTILE_MAX];
  work(b->memory);
  for (int i = 0; i < b->rounds; i++) {
    const double begin_s = rn_clock_s();
    work(b->memory);
    sample[i] = rn_clock_s() - begin_s;
  }
  return rn_median(sample, b->rounds);
}

static void time_memory(bench *b) {
  static const struct {
    const char *name;
    void (*work)(float *const *);
    int arrays; /* number of arrays read plus written */
    bool reads;
  } over[] = {{"AdamW", adamw, 7, false}, {"sum of squares", squares, 1, true}};
  for (size_t i = 0; i < sizeof over / sizeof over[0]; i++) {
    const double call_s = time_over_memory(b, over[i].work);
    const double bytes = (double)over[i].arrays * MEMORY_ELEMENTS * sizeof(float);
    add_line(b, (line){over[i].name, "memory", false, call_s, bytes / call_s,
                       over[i].reads ? &b->read_limit : &b->memory_limit});
  }
}

/* ---- limits ---- */

static rn_status find_limits(rn_err *err, bench *b) {
  const double bytes = (double)MEMORY_ELEMENTS * sizeof(float);
  rn_rate rate = {0};
  rn_status status = rn_rate_create(err, b->world, b->threads, &rate);
  if (status == RN_OK) status = rn_rate_add_best(err, &rate);
  for (int i = 0; status == RN_OK && i < b->rounds; i++) status = rn_rate_sample(err, &rate);
  if (status == RN_OK) b->product_limit = rn_rate_flops_per_s(&rate, rn_rate_best(&rate));
  rn_rate_destroy(&rate);
  b->memory_limit = 3 * bytes / time_over_memory(b, scale_and_add);
  b->read_limit = bytes / time_over_memory(b, read_all);
  return status;
}

/* ---- output ---- */

static void print_json(const bench *b) {
  printf("{\"threads\": %d, \"products_flops_per_s\": %s, \"cache_bytes_per_s\": %s, ", b->threads,
         RN_JSON(b->product_limit), RN_JSON(b->cache_limit));
  printf("\"memory_bytes_per_s\": %s, \"read_bytes_per_s\": %s, \"kernels\": [",
         RN_JSON(b->memory_limit), RN_JSON(b->read_limit));
  for (int i = 0; i < b->lines; i++) {
    const line *l = &b->line[i];
    printf("%s{\"kernel\": \"%s\", \"set\": \"%s\", \"seconds\": %s, \"%s\": %s, ",
           i == 0 ? "" : ", ", l->name, l->set, RN_JSON(l->call_s),
           l->products ? "flops_per_s" : "bytes_per_s", RN_JSON(l->rate));
    printf("\"share\": %s}", RN_JSON(l->rate / *l->limit));
  }
  printf("]}\n");
}

static void print_table(const bench *b) {
  printf("%d threads; medians of %d samples\n", b->threads, b->rounds);
  printf("limits: GEMM %.1f GFLOP/s; cache %.1f GB/s, memory %.1f GB/s, memory read %.1f GB/s\n",
         1e-9 * b->product_limit, 1e-9 * b->cache_limit, 1e-9 * b->memory_limit,
         1e-9 * b->read_limit);
  printf("%-24s %-8s %12s %12s %-8s %8s\n", "kernel", "set", "us per call", "rate", "", "% limit");
  for (int i = 0; i < b->lines; i++) {
    const line *l = &b->line[i];
    printf("%-24s %-8s %12.2f %12.1f %-8s %8.1f\n", l->name, l->set, 1e6 * l->call_s,
           1e-9 * l->rate, l->products ? "GFLOP/s" : "GB/s", 100 * l->rate / *l->limit);
  }
}

/* ---- setup ---- */

static rn_status make(rn_err *err, const Retnet__Config *config, bench *b) {
  rn_spec spec;
  RN_TRY(err, rn_spec_from_config(err, config, 0, &spec));
  b->kernels = rn_kernel_bench_make(&spec);
  RN_TRY(err, rn_alloc(err, "kernels", (size_t)b->threads, sizeof *b->buffers, &b->buffers));
  for (int i = 0; i < b->threads; i++) {
    RN_TRY(err, rn_kernel_buffers_create(err, &b->kernels, &b->buffers[i]));
  }
  for (int i = 0; i < MEMORY_ARRAYS; i++) {
    RN_TRY(err, rn_alloc(err, "memory", MEMORY_ELEMENTS, sizeof(float), &b->memory[i]));
    for (int64_t j = 0; j < MEMORY_ELEMENTS; j++) b->memory[i][j] = 1e-3f;
  }
  return RN_OK;
}

static void destroy(bench *b) {
  for (int i = 0; b->buffers != NULL && i < b->threads; i++)
    rn_kernel_buffers_destroy(&b->buffers[i]);
  free(b->buffers);
  for (int i = 0; i < MEMORY_ARRAYS; i++) free(b->memory[i]);
}

rn_status rn_bench_kernels(rn_err *err, rn_world *world, const rn_bench_options *options) {
  Retnet__Config *config = NULL;
  bench b = {
      .world = world, .threads = 1, .rounds = options->rounds > 0 ? (int)options->rounds : ROUNDS};
  rn_status status = rn_bench_start(err, world, options, &config, &b.threads);
  if (status == RN_OK) status = rn_agree(err, world, make(err, config, &b));
  if (status == RN_OK) status = find_limits(err, &b);
  if (status == RN_OK) {
    time_kernels(&b);
    time_memory(&b);
  }
  if (status == RN_OK && rn_world_rank(world) == 0) (options->json ? print_json : print_table)(&b);
  destroy(&b);
  rn_options_free(&config);
  return status;
}
