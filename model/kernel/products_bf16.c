/*
 * Products of operands that are rounded to bf16, summed in single precision, by oneDNN.
 *
 * Both operands are packed into memory of the calling thread. A product's code is made for its
 * shape at the first call and kept by each thread in a table of fixed size, where a newcomer takes
 * the place of what hashes alike.
 */
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <threads.h>

#include "model/kernel/kernels.h"
#include "model/kernel/providers.h"

/* Which product it is: everything that the code depends on. */
typedef struct shape {
  int64_t m, n, k, ldc;
  bool a_transposed, b_transposed, add;
} shape;

typedef struct made_product {
  shape of;
  dnnl_primitive_t code;
  dnnl_memory_t a, b, c;
} made_product;

enum { KEPT = 256 };

/* What a thread works with, as long as it lives. */
typedef struct desk {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  made_product kept[KEPT];
  uint16_t *a, *b;
  size_t a_room, b_room;
} desk;

bool rn_products_bf16_serves(void) {
  const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
  const unsigned needed = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
  return (isa & needed) == needed;
}

static void forget(made_product *p) {
  dnnl_primitive_destroy(p->code);
  dnnl_memory_destroy(p->a);
  dnnl_memory_destroy(p->b);
  dnnl_memory_destroy(p->c);
  *p = (made_product){0};
}

static void destroy_desk(void *desk_of_ending_thread) {
  desk *d = desk_of_ending_thread;
  for (int i = 0; i < KEPT; i++) {
    if (d->kept[i].code != NULL) forget(&d->kept[i]);
  }
  if (d->stream != NULL) dnnl_stream_destroy(d->stream);
  if (d->engine != NULL) dnnl_engine_destroy(d->engine);
  free(d->a);
  free(d->b);
  free(d);
}

static tss_t desk_key;
static bool has_desk_key;

static void make_desk_key(void) {
  has_desk_key = tss_create(&desk_key, destroy_desk) == thrd_success;
}

/* NULL where memory is lacking. */
static desk *desk_of_thread(void) {
  static once_flag made = ONCE_FLAG_INIT;
  call_once(&made, make_desk_key);
  desk *d = has_desk_key ? tss_get(desk_key) : NULL;
  if (d != NULL || !has_desk_key) return d;
  d = calloc(1, sizeof *d);
  if (d == NULL) return NULL;
  if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) == dnnl_success &&
      dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) == dnnl_success &&
      tss_set(desk_key, d) == thrd_success) {
    return d;
  }
  destroy_desk(d);
  return NULL;
}

/* A matrix [rows, cols] in memory of that type: its elements lie row by row, or column by column.
 */
static bool describe(int64_t rows, int64_t cols, bool transposed, int64_t ld, dnnl_data_type_t type,
                     dnnl_memory_desc_t *out) {
  const dnnl_dims_t dims = {rows, cols}, strides = {transposed ? 1 : ld, transposed ? ld : 1};
  return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides) == dnnl_success;
}

static bool make_code(dnnl_engine_t engine, const dnnl_matmul_desc_t *product, bool add,
                      dnnl_primitive_t *out) {
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t sum = NULL;
  dnnl_primitive_desc_t plan = NULL;
  bool made = dnnl_primitive_attr_create(&attr) == dnnl_success &&
              dnnl_post_ops_create(&sum) == dnnl_success &&
              (!add || dnnl_post_ops_append_sum(sum, 1) == dnnl_success) &&
              dnnl_primitive_attr_set_post_ops(attr, sum) == dnnl_success &&
              dnnl_primitive_desc_create(&plan, product, attr, engine, NULL) == dnnl_success;
  made = made && dnnl_primitive_create(out, plan) == dnnl_success;
  if (plan != NULL) dnnl_primitive_desc_destroy(plan);
  if (sum != NULL) dnnl_post_ops_destroy(sum);
  if (attr != NULL) dnnl_primitive_attr_destroy(attr);
  return made;
}

static bool make(dnnl_engine_t engine, shape s, made_product *p) {
  dnnl_memory_desc_t a, b, c;
  dnnl_matmul_desc_t product;
  p->of = s;
  const bool made = describe(s.m, s.k, s.a_transposed, s.a_transposed ? s.m : s.k, dnnl_bf16, &a) &&
                    describe(s.k, s.n, s.b_transposed, s.b_transposed ? s.k : s.n, dnnl_bf16, &b) &&
                    describe(s.m, s.n, false, s.ldc, dnnl_f32, &c) &&
                    dnnl_matmul_desc_init(&product, &a, &b, NULL, &c) == dnnl_success &&
                    make_code(engine, &product, s.add, &p->code) &&
                    dnnl_memory_create(&p->a, &a, engine, DNNL_MEMORY_NONE) == dnnl_success &&
                    dnnl_memory_create(&p->b, &b, engine, DNNL_MEMORY_NONE) == dnnl_success &&
                    dnnl_memory_create(&p->c, &c, engine, DNNL_MEMORY_NONE) == dnnl_success;
  if (!made) forget(p);
  return made;
}

static bool same(shape a, shape b) {
  return a.m == b.m && a.n == b.n && a.k == b.k && a.ldc == b.ldc &&
         a.a_transposed == b.a_transposed && a.b_transposed == b.b_transposed && a.add == b.add;
}

static size_t hash(shape s) {
  const uint64_t flags = (uint64_t)(s.a_transposed + 2 * s.b_transposed + 4 * s.add);
  const uint64_t parts[] = {(uint64_t)s.m, (uint64_t)s.n, (uint64_t)s.k, (uint64_t)s.ldc, flags};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    sum = (sum ^ parts[i]) * UINT64_C(0x9E3779B97F4A7C15);
    sum ^= sum >> 29;
  }
  return (size_t)(sum % KEPT);
}

static made_product *product_of(desk *d, shape s) {
  made_product *p = &d->kept[hash(s)];
  if (p->code != NULL && same(p->of, s)) return p;
  if (p->code != NULL) forget(p);
  return make(d->engine, s, p) ? p : NULL;
}

static bool make_room(size_t elements, uint16_t **buffer, size_t *room) {
  if (*room >= elements) return true;
  free(*buffer);
  *buffer = aligned_alloc(64, (elements * sizeof **buffer + 63) / 64 * 64);
  *room = *buffer != NULL ? elements : 0;
  return *buffer != NULL;
}

static void pack(int64_t rows, int64_t cols, const float *x, int64_t ld, uint16_t *to) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t row = 0; row < rows; row++) {
    kernels->round_bf16(cols, x + row * ld, to + row * cols);
  }
}

/* False where it cannot be done this way: then single precision does it. */
static bool multiply(shape s, const float *a, int64_t lda, const float *b, int64_t ldb, float *c) {
  desk *d = desk_of_thread();
  if (d == NULL || s.m == 0 || s.n == 0 || s.k == 0) return false;
  made_product *p = product_of(d, s);
  if (p == NULL || !make_room((size_t)(s.m * s.k), &d->a, &d->a_room) ||
      !make_room((size_t)(s.n * s.k), &d->b, &d->b_room)) {
    return false;
  }
  pack(s.a_transposed ? s.k : s.m, s.a_transposed ? s.m : s.k, a, lda, d->a);
  pack(s.b_transposed ? s.n : s.k, s.b_transposed ? s.k : s.n, b, ldb, d->b);
  dnnl_memory_set_data_handle(p->a, d->a);
  dnnl_memory_set_data_handle(p->b, d->b);
  dnnl_memory_set_data_handle(p->c, c);
  const dnnl_exec_arg_t arrays[] = {
      {DNNL_ARG_SRC, p->a}, {DNNL_ARG_WEIGHTS, p->b}, {DNNL_ARG_DST, p->c}};
  return dnnl_primitive_execute(p->code, d->stream, 3, arrays) == dnnl_success &&
         dnnl_stream_wait(d->stream) == dnnl_success;
}

static bool is_plain(float alpha, float beta) {
  return alpha == 1 && (beta == 0 || beta == 1);
}

static void gemm_nn(int m, int n, int k, float alpha, const float *a, int64_t lda, const float *b,
                    int64_t ldb, float beta, float *c, int64_t ldc) {
  const shape s = {m, n, k, ldc, false, false, beta != 0};
  if (is_plain(alpha, beta) && multiply(s, a, lda, b, ldb, c)) return;
  rn_products_onednn.nn(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void gemm_nt(int m, int n, int k, float alpha, const float *a, int64_t lda, const float *b,
                    int64_t ldb, float beta, float *c, int64_t ldc) {
  const shape s = {m, n, k, ldc, false, true, beta != 0};
  if (is_plain(alpha, beta) && multiply(s, a, lda, b, ldb, c)) return;
  rn_products_onednn.nt(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void gemm_tn(int m, int n, int k, float alpha, const float *a, int64_t lda, const float *b,
                    int64_t ldb, float beta, float *c, int64_t ldc) {
  const shape s = {m, n, k, ldc, true, false, beta != 0};
  if (is_plain(alpha, beta) && multiply(s, a, lda, b, ldb, c)) return;
  rn_products_onednn.tn(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* Sums that are so short are made in double in any precision. */
static void gemm_nt_exact(int m, int n, int k, float alpha, const float *a, int64_t lda,
                          const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  rn_products_cblas.nt_exact(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

const rn_products rn_products_bf16 = {"onednn bf16", gemm_nn, gemm_nt, gemm_tn, gemm_nt_exact};
