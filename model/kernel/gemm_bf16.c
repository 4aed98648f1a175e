/*
 * Products of bf16 operands, summed in single precision, by oneDNN.
 *
 * oneDNN generates code for each shape at the first call. Each thread caches the code in a hash
 * table of fixed size; a new entry replaces an old one with the same hash.
 */
#include <assert.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include "model/kernel/gemm_backends.h"
#include "model/kernel/onednn_matmul.h"

/* The key of a product: everything that the generated code depends on. */
typedef struct shape {
  int64_t m, n, k, lda, ldb, ldc;
  bool a_transposed, b_transposed, add, c_bf16;
} shape;

typedef struct cached_matmul {
  shape of;
  rn_onednn_matmul by;
} cached_matmul;

enum { CACHED_MATMULS = 256 };

/* The state of one thread; lives as long as the thread. */
typedef struct context {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  cached_matmul cached[CACHED_MATMULS];
  void *packed; /* scratch: a copy of a strided vector with stride 1 */
  int64_t packed_bytes;
} context;

bool rn_gemm_bf16_supported(void) {
  const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
  const unsigned needed = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
  return (isa & needed) == needed;
}

static void destroy_context(void *context_of_ending_thread) {
  context *d = context_of_ending_thread;
  for (int i = 0; i < CACHED_MATMULS; i++) rn_onednn_matmul_destroy(&d->cached[i].by);
  if (d->stream != NULL) dnnl_stream_destroy(d->stream);
  if (d->engine != NULL) dnnl_engine_destroy(d->engine);
  free(d->packed);
  free(d);
}

static tss_t context_key;
static bool has_context_key;

static void create_context_key(void) {
  has_context_key = tss_create(&context_key, destroy_context) == thrd_success;
}

/* Returns the calling thread's state, creating it on first use; NULL if out of memory. */
static context *context_of_thread(void) {
  static once_flag made = ONCE_FLAG_INIT;
  call_once(&made, create_context_key);
  context *d = has_context_key ? tss_get(context_key) : NULL;
  if (d != NULL || !has_context_key) return d;
  d = calloc(1, sizeof *d);
  if (d == NULL) return NULL;
  if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) == dnnl_success &&
      dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) == dnnl_success &&
      tss_set(context_key, d) == thrd_success) {
    return d;
  }
  destroy_context(d);
  return NULL;
}

/* Describes a matrix [rows, cols] to oneDNN, which is stored row-major or, if `transposed`,
 * column-major. */
static rn_onednn_matrix matrix(int64_t rows, int64_t cols, bool transposed, int64_t ld,
                               dnnl_data_type_t type) {
  return (rn_onednn_matrix){rows, cols, transposed ? 1 : ld, transposed ? ld : 1, type};
}

static bool create_matmul(dnnl_engine_t engine, shape s, cached_matmul *p) {
  p->of = s;
  return rn_onednn_matmul_create(engine, matrix(s.m, s.k, s.a_transposed, s.lda, dnnl_bf16),
                                 matrix(s.k, s.n, s.b_transposed, s.ldb, dnnl_bf16),
                                 matrix(s.m, s.n, false, s.ldc, s.c_bf16 ? dnnl_bf16 : dnnl_f32),
                                 s.add, &p->by);
}

static bool same(shape a, shape b) {
  return a.m == b.m && a.n == b.n && a.k == b.k && a.lda == b.lda && a.ldb == b.ldb &&
         a.ldc == b.ldc && a.a_transposed == b.a_transposed && a.b_transposed == b.b_transposed &&
         a.add == b.add && a.c_bf16 == b.c_bf16;
}

static size_t hash(shape s) {
  const int flags = s.a_transposed + 2 * s.b_transposed + 4 * s.add + 8 * s.c_bf16;
  const uint64_t words[] = {(uint64_t)s.m,   (uint64_t)s.n,   (uint64_t)s.k,  (uint64_t)s.lda,
                            (uint64_t)s.ldb, (uint64_t)s.ldc, (uint64_t)flags};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    sum = (sum ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
    sum ^= sum >> 29;
  }
  return (size_t)(sum % CACHED_MATMULS);
}

static cached_matmul *matmul_of(context *d, shape s) {
  cached_matmul *p = &d->cached[hash(s)];
  if (p->by.code != NULL && same(p->of, s)) return p;
  rn_onednn_matmul_destroy(&p->by);
  return create_matmul(d->engine, s, p) ? p : NULL;
}

static bool execute(context *d, shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  cached_matmul *p = matmul_of(d, s);
  if (p == NULL) return false;
  dnnl_memory_set_data_handle(p->by.a, rn_bf16s(a).at);
  dnnl_memory_set_data_handle(p->by.b, rn_bf16s(b).at);
  dnnl_memory_set_data_handle(p->by.c, c.at);
  const dnnl_exec_arg_t arrays[] = {
      {DNNL_ARG_SRC, p->by.a}, {DNNL_ARG_WEIGHTS, p->by.b}, {DNNL_ARG_DST, p->by.c}};
  return dnnl_primitive_execute(p->by.code, d->stream, 3, arrays) == dnnl_success &&
         dnnl_stream_wait(d->stream) == dnnl_success;
}

static bool reserve(context *d, int64_t bytes) {
  if (bytes <= d->packed_bytes) return true;
  free(d->packed);
  d->packed = malloc((size_t)bytes);
  d->packed_bytes = d->packed != NULL ? bytes : 0;
  return d->packed != NULL;
}

/* Computes the product if a is one row with element stride lda. */
static bool gemm_of_row(context *d, shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  if (!reserve(d, s.k * (int64_t)sizeof *a)) return false;
  rn_bf16 *row = d->packed;
  for (int64_t l = 0; l < s.k; l++) row[l] = a[l * s.lda];
  s.a_transposed = false;
  s.lda = s.k;
  return execute(d, s, row, b, c);
}

/* Computes the product if c is one column with element stride ldc. */
static bool gemm_of_column(context *d, shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  const size_t element = rn_element_bytes(c.bf16);
  if (!reserve(d, s.m * (int64_t)element)) return false;
  char *column = d->packed, *in_c = c.at;
  const int64_t stride = s.ldc * (int64_t)element;
  for (int64_t i = 0; s.add && i < s.m; i++) {
    memcpy(column + i * (int64_t)element, in_c + i * stride, element);
  }
  s.ldc = 1;
  if (!execute(d, s, a, b, (rn_array){column, c.bf16})) return false;
  for (int64_t i = 0; i < s.m; i++) {
    memcpy(in_c + i * stride, column + i * (int64_t)element, element);
  }
  return true;
}

/*
 * Computes a product by oneDNN. Returns false if out of memory.
 *
 * oneDNN 3 (seen in 3.7.2) ignores the strides of a vector and assumes that its elements are
 * contiguous. So a strided row of a or column of c goes through a contiguous copy.
 */
static bool gemm_by_onednn(shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  context *d = context_of_thread();
  if (d == NULL) return false;
  if (s.m == 1 && s.a_transposed && s.lda > 1) return gemm_of_row(d, s, a, b, c);
  if (s.n == 1 && s.m > 1 && s.ldc > 1) return gemm_of_column(d, s, a, b, c);
  return execute(d, s, a, b, c);
}

static float sum_at(shape s, const rn_bf16 *a, const rn_bf16 *b, int64_t i, int64_t j) {
  float sum = 0;
  for (int64_t l = 0; l < s.k; l++) {
    const rn_bf16 x = s.a_transposed ? a[l * s.lda + i] : a[i * s.lda + l];
    const rn_bf16 y = s.b_transposed ? b[j * s.ldb + l] : b[l * s.ldb + j];
    sum += rn_bf16_value(x) * rn_bf16_value(y);
  }
  return sum;
}

/* Computes a product without allocating memory: a slow fallback. */
static void gemm_without_memory(shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  for (int64_t i = 0; i < s.m; i++) {
    for (int64_t j = 0; j < s.n; j++) {
      const int64_t at = i * s.ldc + j;
      const float value = sum_at(s, a, b, i, j) + (s.add ? rn_array_value(c, at) : 0);
      if (s.c_bf16) {
        rn_array_bf16s(c)[at] = rn_bf16_of(value);
      } else {
        rn_array_reals(c)[at] = value;
      }
    }
  }
}

static void gemm(shape s, const rn_bf16 *a, const rn_bf16 *b, float beta, rn_array c) {
  assert(beta == 0 || beta == 1);
  s.add = beta != 0;
  s.c_bf16 = c.bf16;
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0 || !gemm_by_onednn(s, a, b, c)) gemm_without_memory(s, a, b, c);
}

static void bf16_nn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                    int64_t ldb, float beta, rn_array c, int64_t ldc) {
  gemm((shape){.m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc}, a, b, beta, c);
}

static void bf16_nt(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                    int64_t ldb, float beta, rn_array c, int64_t ldc) {
  const shape s = {
      .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc, .b_transposed = true};
  gemm(s, a, b, beta, c);
}

static void bf16_tn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                    int64_t ldb, float beta, rn_array c, int64_t ldc) {
  const shape s = {
      .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc, .a_transposed = true};
  gemm(s, a, b, beta, c);
}

void rn_gemm_bf16_enter(rn_gemm_backend *table) {
  table->name = "onednn bf16";
  table->bf16_nn = bf16_nn;
  table->bf16_nt = bf16_nt;
  table->bf16_tn = bf16_tn;
}
