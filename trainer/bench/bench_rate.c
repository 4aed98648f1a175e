#include "trainer/bench/bench_rate.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>

#include "model/ops/matmul.h"
#include "model/ops/pack_weights.h"
#include "model/ops/tiling.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/range.h"

/* FLOP of one sample, which takes a few tens of milliseconds. */
static const double sample_flops = 4e9;

/* ---- the set ---- */

rn_status rn_rate_create(rn_err *err, rn_world *world, int threads, rn_rate *out) {
  const int64_t slots = threads > 4 ? threads : 4,
                elements = 3 * slots * (RN_RATE_MAX_ELEMENTS / 4);
  const size_t operands = (size_t)elements * sizeof(float),
               packed = 2 * RN_RATE_MAX_ELEMENTS * sizeof(float); /* with padding */
  *out = (rn_rate){.world = world, .threads = threads};
  RN_TRY(err,
         rn_arena_create(err, rn_arena_round(operands) + rn_arena_round(packed), &out->memory));
  out->operands = rn_arena_take(&out->memory, operands);
  out->packed = rn_arena_take(&out->memory, packed);
  for (int64_t i = 0; i < elements; i++) {
    out->operands[i] = rn_real_of_bf16s((float)(i % 1021) / 10210 - 0.05f);
  }
  return RN_OK;
}

void rn_rate_destroy(rn_rate *rate) {
  rn_arena_destroy(&rate->memory);
  free(rate->product);
  *rate = (rn_rate){0};
}

rn_status rn_rate_add(rn_err *err, rn_rate *rate, rn_rate_gemm product) {
  assert(product.threads <= rate->threads && rate->samples == 0);
  assert(product.m * product.k <= RN_RATE_MAX_ELEMENTS / (product.way == RN_RATE_EACH ? 4 : 1));
  assert(product.n * product.k <= RN_RATE_MAX_ELEMENTS / (product.way == RN_RATE_EACH ? 4 : 1));
  assert(product.m * product.n <= RN_RATE_MAX_ELEMENTS / (product.way == RN_RATE_EACH ? 4 : 1));
  RN_TRY(err, rn_grow(err, "list of matrix products", (size_t)rate->count + 1,
                      sizeof *rate->product, &rate->product, &rate->capacity));
  rate->product[rate->count++] = product;
  return RN_OK;
}

/* True if the set already has products of a backend whose function for x w^T is that of `table`. */
static bool is_known(const rn_rate *rate, const rn_gemm_backend *table) {
  bool known = false;
  for (int i = 0; i < rate->count; i++) {
    known = known || rate->product[i].table->nt == table->nt;
  }
  return known;
}

static rn_status add_backend(rn_err *err, rn_rate *rate, const rn_gemm_backend *table) {
  static const int shapes[][3] = {{512, 512, 512}, {2048, 512, 512}, {2048, 1024, 512}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    const int *s = shapes[i];
    rn_rate_gemm product = {table, false, s[0], s[1], s[2], rate->threads, RN_RATE_ROWS, {0}};
    RN_TRY(err, rn_rate_add(err, rate, product));
    product.way = RN_RATE_TILES;
    RN_TRY(err, rn_rate_add(err, rate, product));
  }
  return RN_OK;
}

rn_status rn_rate_add_best(rn_err *err, rn_rate *rate) {
  for (int i = 0; rn_gemm_backend_at(i) != NULL; i++) {
    const rn_gemm_backend *table = rn_gemm_backend_at(i);
    if (!is_known(rate, table)) RN_TRY(err, add_backend(err, rate, table));
  }
  return RN_OK;
}

/* ---- samples ---- */

/* Operands of a product; x and w have the type, fp32 or bf16, that the GEMM backend expects. */
typedef struct operands {
  rn_array x, w, y;
} operands;

static operands operands_at(float *memory, int64_t each) {
  const bool bf16 = rn_gemm_takes_bf16();
  return (operands){{memory, bf16}, {memory + each, bf16}, rn_reals(memory + 2 * each)};
}

/* Computes the given rows of y in one call. */
static void multiply_rows(const rn_rate_gemm *p, rn_range rows, operands o) {
  const int count = (int)rn_range_count(rows);
  const rn_array to = rn_array_from(o.y, rows.begin * p->n);
  if (p->transposed) {
    rn_gemm(RN_GEMM_TN, count, p->n, p->k, rn_array_from(o.x, rows.begin), p->m, o.w, p->n, 0, to,
            p->n);
  } else {
    rn_gemm(RN_GEMM_NT, count, p->n, p->k, rn_array_from(o.x, rows.begin * p->k), p->k, o.w, p->k,
            0, to, p->n);
  }
}

static void multiply_in_tiles(const rn_rate_gemm *p, operands o) {
  if (p->transposed) {
    rn_matmul_tn(p->k, p->m, p->n, o.x, p->m, o.w, p->n, 0, o.y, p->n);
  } else {
    rn_matmul_nt(rn_rows_together(p->m), p->n, p->k, o.x, p->k, o.w, p->k, 0, o.y, p->n);
  }
}

bool rn_rate_packs(const rn_rate_gemm *p) {
  const rn_gemm_backend *const in_use = rn_gemm_backend_swap(p->table);
  const bool packs =
      !p->transposed && rn_gemm_pack_elements(RN_GEMM_NT, p->n, p->k, rn_gemm_takes_bf16()) > 0;
  rn_gemm_backend_swap(in_use);
  return packs;
}

static void multiply_packed(const rn_rate_gemm *p, operands o, void *packed) {
  rn_packed_weight w = rn_weight_nt(p->n, p->k, o.w);
  const rn_rows rows = rn_rows_together(p->m);
  const rn_tiling tiling = rn_tiling_of_rows(rows, p->n, o.x.bf16);
  rn_pack_weights(rows, &w, 1, packed);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    rn_gemm_packed(&w, t.rows, (rn_range){t.col, t.col + t.cols},
                   (rn_matrix){rn_array_from(o.x, t.row * p->k), p->k}, 0,
                   (rn_matrix){rn_array_from(o.y, t.row * p->n + t.col), p->n});
  }
}

static void multiply(const rn_rate *rate, const rn_rate_gemm *p) {
  const int64_t each = RN_RATE_MAX_ELEMENTS / 4;
  const operands shared = operands_at(rate->operands, RN_RATE_MAX_ELEMENTS);
  if (p->way == RN_RATE_TILES) {
    multiply_in_tiles(p, shared);
    return;
  }
  if (p->way == RN_RATE_PACKED) {
    multiply_packed(p, shared, rate->packed);
    return;
  }
#pragma omp parallel
  {
    const int thread = omp_get_thread_num();
    if (p->way == RN_RATE_EACH) {
      multiply_rows(p, (rn_range){0, p->m}, operands_at(rate->operands + 3 * thread * each, each));
    } else {
      multiply_rows(p, rn_cut(p->m, omp_get_num_threads(), thread), shared);
    }
  }
}

/* Returns the FLOP of one execution of a product by all threads of a rank. */
static double flops_of(const rn_rate_gemm *p) {
  return 2.0 * p->m * p->n * p->k * (p->way == RN_RATE_EACH ? p->threads : 1);
}

static rn_status sample(rn_err *err, rn_rate *rate, rn_rate_gemm *p) {
  const int rounds = flops_of(p) < sample_flops ? (int)(sample_flops / flops_of(p)) : 1;
  RN_TRY(err, rn_world_barrier(err, rate->world));
  const double begin_s = rn_clock_s();
  for (int i = 0; i < rounds; i++) multiply(rate, p);
  RN_TRY(err, rn_world_barrier(err, rate->world));
  p->sample_s[rate->samples] = (rn_clock_s() - begin_s) / rounds;
  return RN_OK;
}

rn_status rn_rate_sample(rn_err *err, rn_rate *rate) {
  const int threads = omp_get_max_threads();
  const rn_gemm_backend *const in_use = rn_gemm_backend_in_use();
  rn_status status = RN_OK;
  assert(rate->samples < RN_QUANTILE_MAX);
  for (int i = 0; status == RN_OK && i < rate->count; i++) {
    omp_set_num_threads(rate->product[i].threads);
    rn_gemm_backend_swap(rate->product[i].table);
    status = sample(err, rate, &rate->product[i]);
  }
  omp_set_num_threads(threads);
  rn_gemm_backend_swap(in_use);
  rate->samples++;
  return status;
}

/* ---- results ---- */

double rn_rate_flops_per_s(const rn_rate *rate, const rn_rate_gemm *p) {
  return rn_world_size(rate->world) * flops_of(p) / rn_median(p->sample_s, rate->samples);
}

const rn_rate_gemm *rn_rate_best(const rn_rate *rate) {
  const rn_rate_gemm *best = &rate->product[0];
  for (int i = 1; i < rate->count; i++) {
    const rn_rate_gemm *p = &rate->product[i];
    if (rn_rate_flops_per_s(rate, p) > rn_rate_flops_per_s(rate, best)) best = p;
  }
  return best;
}

const char *rn_rate_way_name(rn_rate_way way) {
  static const char *const names[] = {"rows", "tiles", "packed", "each"};
  return names[way];
}
