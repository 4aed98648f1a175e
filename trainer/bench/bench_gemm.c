/*
 * retnet-bench gemm measures the rate of each GEMM backend for the matrix products of a model.
 *
 * Small products have the sizes of those within a chunk; each thread computes its own product.
 * Large products are divided among the threads by rows or by tiles; with tiles, the weight is
 * either used as it is or packed first.
 */
#include <stdio.h>

#include "proto/base/json.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/bench/bench_rate.h"
#include "trainer/machine/gemm_sample.h"

enum { ROUNDS = 7, WAYS = RN_RATE_EACH + 1, LARGEST_OF_EACH = 512 };

static const struct {
  int m, n, k;
  bool transposed;
} shapes[] = {{64, 64, 64, false},    {128, 128, 128, false},  {256, 256, 256, false},
              {512, 512, 512, false}, {2048, 512, 512, false}, {2048, 1024, 512, false},
              {512, 512, 2048, true}};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* Adds one product once for each way to divide it among threads. These entries are consecutive and
 * form one row of the table. */
static rn_status add_ways(rn_err *err, rn_rate *rate, rn_rate_gemm product) {
  for (int way = RN_RATE_ROWS; way <= RN_RATE_EACH; way++) {
    product.way = (rn_rate_way)way;
    const bool large = product.m > LARGEST_OF_EACH || product.k > LARGEST_OF_EACH;
    if (product.way == RN_RATE_EACH && large) continue;
    if (product.way == RN_RATE_PACKED && !rn_rate_packs(&product)) continue;
    RN_TRY(err, rn_rate_add(err, rate, product));
  }
  return RN_OK;
}

/* True if an earlier backend uses the same function for products with the given `transposed`. */
static bool is_known(int provider, bool transposed) {
  const rn_gemm_backend *table = rn_gemm_backend_at(provider);
  bool known = false;
  for (int i = 0; i < provider; i++) {
    const rn_gemm_backend *earlier = rn_gemm_backend_at(i);
    known = known || (transposed ? earlier->tn == table->tn : earlier->nt == table->nt);
  }
  return known;
}

/* Returns the number of threads that follows `threads` in the sequence 1, 2, 4, ..., all. */
static int more_threads(int threads, int all) {
  return threads < all && 2 * threads > all ? all : 2 * threads;
}

static rn_status add_all(rn_err *err, rn_rate *rate) {
  for (int s = 0; s < SHAPES; s++) {
    rn_rate_gemm product = {
        .transposed = shapes[s].transposed, .m = shapes[s].m, .n = shapes[s].n, .k = shapes[s].k};
    for (int i = 0; rn_gemm_backend_at(i) != NULL; i++) {
      if (is_known(i, product.transposed)) continue;
      product.table = rn_gemm_backend_at(i);
      for (int t = 1; t <= rate->threads; t = more_threads(t, rate->threads)) {
        product.threads = t;
        RN_TRY(err, add_ways(err, rate, product));
      }
    }
  }
  return RN_OK;
}

static void print_json(const rn_rate *rate, const char *precision, const char *fastest) {
  printf("{\"ranks\": %d, \"precision\": \"%s\", \"threads\": %d, \"gemm_flops_per_s\": %s, ",
         rn_world_size(rate->world), precision, rate->threads,
         RN_JSON(rn_rate_flops_per_s(rate, rn_rate_best(rate))));
  printf("\"products\": [");
  for (int i = 0; i < rate->count; i++) {
    const rn_rate_gemm *p = &rate->product[i];
    printf("%s{\"provider\": \"%s\", \"kind\": \"%s\", \"m\": %d, \"n\": %d, \"k\": %d, ",
           i == 0 ? "" : ", ", p->table->name, p->transposed ? "TN" : "NT", p->m, p->n, p->k);
    printf("\"threads\": %d, \"way\": \"%s\", \"flops_per_s\": %s}", p->threads,
           rn_rate_way_name(p->way), RN_JSON(rn_rate_flops_per_s(rate, p)));
  }
  printf("], \"fastest\": \"%s\", \"auto\": \"%s\"}\n", fastest, rn_gemm_backend_in_use()->name);
}

static void print_table(const rn_rate *rate, const char *precision, const char *fastest) {
  printf("GFLOP/s in %s, summed over %d ranks; medians of %d samples\n", precision,
         rn_world_size(rate->world), rate->samples);
  printf("%-18s %-18s %8s", "product", "provider", "threads");
  int column = 0; /* column that is printed next */
  for (; column < WAYS; column++) printf(" %8s", rn_rate_way_name((rn_rate_way)column));
  for (int i = 0; i < rate->count; i++) {
    const rn_rate_gemm *p = &rate->product[i];
    char shape[40];
    if (p->way == RN_RATE_ROWS) {
      snprintf(shape, sizeof shape, "%dx%dx%d %s", p->m, p->n, p->k, p->transposed ? "TN" : "NT");
      printf("\n%-18s %-18s %8d", shape, p->table->name, p->threads);
      column = 0;
    }
    for (; column < (int)p->way; column++) printf(" %8s", "");
    column++;
    printf(" %8.1f", 1e-9 * rn_rate_flops_per_s(rate, p));
  }
  printf("\nfastest backend on one thread at 256x512x512: %s; backend in use: %s\n", fastest,
         rn_gemm_backend_in_use()->name);
}

static rn_status measure(rn_err *err, rn_rate *rate, int64_t rounds) {
  RN_TRY(err, rn_agree(err, rate->world, add_all(err, rate)));
  for (int64_t i = 0; i < rounds; i++) RN_TRY(err, rn_rate_sample(err, rate));
  return RN_OK;
}

rn_status rn_bench_gemm(rn_err *err, rn_world *world, const rn_bench_options *options) {
  Retnet__Config *config = NULL;
  rn_rate rate = {0};
  int threads = 1;
  char precision[40], fastest[120];
  rn_gemm_sample sample;
  rn_status status = rn_bench_start(err, world, options, &config, &threads);
  if (status == RN_OK) {
    status = rn_agree(err, world, rn_rate_create(err, world, threads, &rate));
  }
  if (status == RN_OK) status = measure(err, &rate, options->rounds > 0 ? options->rounds : ROUNDS);
  if (status == RN_OK) status = rn_agree(err, world, rn_gemm_sample_take(err, &sample));
  if (status == RN_OK && rn_world_rank(world) == 0) {
    rn_bench_precision(config, precision, sizeof precision);
    rn_gemm_sample_best(&sample, fastest, sizeof fastest);
    if (options->json) {
      print_json(&rate, precision, fastest);
    } else {
      print_table(&rate, precision, fastest);
    }
  }
  rn_rate_destroy(&rate);
  rn_options_free(&config);
  return status;
}
