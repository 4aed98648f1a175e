#include "trainer/bench_rate.h"

#include <assert.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/matmul.h"
#include "proto/arena.h"
#include "proto/clock.h"
#include "proto/cut.h"

/* y [m, n] = x [m, k] w^T. */
static const struct {
  int m, n, k;
} shapes[] = {{512, 512, 512}, {2048, 512, 512}, {2048, 1024, 512}};

enum { SHAPES = sizeof shapes / sizeof shapes[0], LARGEST = 2048 * 1024 };

/* Work of one sample: some tens of milliseconds. */
static const double sample_flops = 4e9;

static double flops_of(const rn_rate_candidate *c) {
  return 2.0 * c->m * c->n * c->k;
}

static int repeats_of(const rn_rate_candidate *c) {
  return flops_of(c) < sample_flops ? (int)(sample_flops / flops_of(c)) : 1;
}

static void add_provider(rn_rate *rate, const rn_products *table) {
  for (int s = 0; s < SHAPES; s++) {
    for (int tiles = 0; tiles < 2; tiles++) {
      assert(rate->candidates < RN_RATE_CANDIDATES);
      rate->candidate[rate->candidates++] =
          (rn_rate_candidate){table, shapes[s].m, shapes[s].n, shapes[s].k, tiles == 1, {0}};
    }
  }
}

/* Whether an earlier provider makes these products in the same way. */
static bool is_known(const rn_rate *rate, const rn_products *table) {
  bool known = false;
  for (int i = 0; i < rate->candidates; i++) {
    known = known || rate->candidate[i].table->nt == table->nt;
  }
  return known;
}

rn_status rn_rate_create(rn_err *err, rn_world *world, int threads, rn_rate *out) {
  *out = (rn_rate){.world = world, .threads = threads};
  for (int p = 0; rn_products_provider(p) != NULL; p++) {
    if (!is_known(out, rn_products_provider(p))) add_provider(out, rn_products_provider(p));
  }
  RN_TRY(err, rn_alloc(err, "products", 3 * (size_t)LARGEST, sizeof(float), &out->memory));
  for (int i = 0; i < 2 * LARGEST; i++) out->memory[i] = (float)(i % 1021) / 10210 - 0.05f;
  return RN_OK;
}

void rn_rate_destroy(rn_rate *rate) {
  free(rate->memory);
  *rate = (rn_rate){0};
}

static void multiply(const rn_rate *rate, const rn_rate_candidate *c) {
  const float *x = rate->memory, *w = rate->memory + LARGEST;
  float *y = rate->memory + 2 * LARGEST;
  if (c->tiles) {
    rn_matmul_nt(rn_rows_together(c->m), c->n, c->k, x, c->k, w, c->k, 0, y, c->n);
    return;
  }
#pragma omp parallel num_threads(rate->threads)
  {
    const rn_range rows = rn_cut(c->m, omp_get_num_threads(), omp_get_thread_num());
    c->table->nt((int)rn_range_count(rows), c->n, c->k, 1, x + rows.begin * c->k, c->k, w, c->k, 0,
                 y + rows.begin * c->n, c->n);
  }
}

static rn_status sample(rn_err *err, rn_rate *rate, rn_rate_candidate *c) {
  const int repeats = repeats_of(c);
  RN_TRY(err, rn_world_barrier(err, rate->world));
  const double begin_s = rn_clock_s();
  for (int i = 0; i < repeats; i++) multiply(rate, c);
  RN_TRY(err, rn_world_barrier(err, rate->world));
  c->sample_s[rate->samples] = (rn_clock_s() - begin_s) / repeats;
  return RN_OK;
}

rn_status rn_rate_sample(rn_err *err, rn_rate *rate) {
  assert(rate->samples < RN_BENCH_MOST);
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < rate->candidates; i++) {
    const rn_products *before = rn_products_exchange(rate->candidate[i].table);
    status = sample(err, rate, &rate->candidate[i]);
    rn_products_exchange(before);
  }
  rate->samples++;
  return status;
}

double rn_rate_best(const rn_rate *rate, char *text, size_t bytes) {
  double best = 0;
  for (int i = 0; i < rate->candidates; i++) {
    const rn_rate_candidate *c = &rate->candidate[i];
    const double median_s = rn_bench_median(c->sample_s, rate->samples);
    const double flops_per_s = rn_world_size(rate->world) * flops_of(c) / median_s;
    if (flops_per_s <= best) continue;
    best = flops_per_s;
    snprintf(text, bytes, "%dx%dx%d by %s in %s", c->m, c->n, c->k, c->table->name,
             c->tiles ? "tiles" : "rows");
  }
  return best;
}
