#include "model/kernel/onednn_products.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <threads.h>

#include "proto/base/range.h"

typedef struct cached_matmul {
  rn_onednn_shape of;
  rn_onednn_matmul by;
} cached_matmul;

enum { CACHED_MATMULS = 256 };

struct rn_onednn_thread {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  cached_matmul cached[CACHED_MATMULS];
  void *scratch;
  size_t scratch_bytes;
};

static void destroy_thread(void *state_of_ending_thread) {
  rn_onednn_thread *d = state_of_ending_thread;
  for (int i = 0; i < CACHED_MATMULS; i++) rn_onednn_matmul_destroy(&d->cached[i].by);
  if (d->stream != NULL) dnnl_stream_destroy(d->stream);
  if (d->engine != NULL) dnnl_engine_destroy(d->engine);
  free(d->scratch);
  free(d);
}

static tss_t thread_key;
static bool has_thread_key;

static void create_thread_key(void) {
  has_thread_key = tss_create(&thread_key, destroy_thread) == thrd_success;
}

rn_onednn_thread *rn_onednn_thread_own(void) {
  static once_flag made = ONCE_FLAG_INIT;
  call_once(&made, create_thread_key);
  rn_onednn_thread *d = has_thread_key ? tss_get(thread_key) : NULL;
  if (d != NULL || !has_thread_key) return d;
  d = calloc(1, sizeof *d);
  if (d == NULL) return NULL;
  if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) == dnnl_success &&
      dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) == dnnl_success &&
      tss_set(thread_key, d) == thrd_success) {
    return d;
  }
  destroy_thread(d);
  return NULL;
}

/* Describes a matrix [rows, cols] to oneDNN. The matrix is row-major or, if `transposed`,
 * column-major. */
static rn_onednn_matrix matrix(int64_t rows, int64_t cols, bool transposed, int64_t ld,
                               dnnl_data_type_t type) {
  return (rn_onednn_matrix){.rows = rows,
                            .cols = cols,
                            .row_stride = transposed ? 1 : ld,
                            .col_stride = transposed ? ld : 1,
                            .type = type};
}

static bool create_matmul(dnnl_engine_t engine, rn_onednn_shape s, cached_matmul *p) {
  rn_onednn_matrix b = matrix(s.k, s.n, s.b_transposed, s.ldb, dnnl_bf16);
  b.packed = s.b_packed;
  p->of = s;
  return rn_onednn_matmul_create(engine, matrix(s.m, s.k, s.a_transposed, s.lda, dnnl_bf16), b,
                                 matrix(s.m, s.n, false, s.ldc, s.c_bf16 ? dnnl_bf16 : dnnl_f32),
                                 s.add, &p->by);
}

static bool same(rn_onednn_shape a, rn_onednn_shape b) {
  return a.m == b.m && a.n == b.n && a.k == b.k && a.lda == b.lda && a.ldb == b.ldb &&
         a.ldc == b.ldc && a.a_transposed == b.a_transposed && a.b_transposed == b.b_transposed &&
         a.b_packed == b.b_packed && a.add == b.add && a.c_bf16 == b.c_bf16;
}

static size_t hash(rn_onednn_shape s) {
  const int flags =
      s.a_transposed + 2 * s.b_transposed + 4 * s.add + 8 * s.c_bf16 + 16 * s.b_packed;
  const uint64_t words[] = {(uint64_t)s.m,   (uint64_t)s.n,   (uint64_t)s.k,  (uint64_t)s.lda,
                            (uint64_t)s.ldb, (uint64_t)s.ldc, (uint64_t)flags};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    sum = (sum ^ words[i]) * UINT64_C(0x9E3779B97F4A7C15);
    sum ^= sum >> 29;
  }
  return (size_t)(sum % CACHED_MATMULS);
}

static cached_matmul *matmul_of(rn_onednn_thread *d, rn_onednn_shape s) {
  cached_matmul *p = &d->cached[hash(s)];
  if (p->by.code != NULL && same(p->of, s)) return p;
  rn_onednn_matmul_destroy(&p->by);
  return create_matmul(d->engine, s, p) ? p : NULL;
}

bool rn_onednn_execute(rn_onednn_thread *d, rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *b,
                       rn_array c) {
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

bool rn_onednn_is_brgemm(rn_onednn_thread *thread, rn_onednn_shape shape) {
  const cached_matmul *p = matmul_of(thread, shape);
  return p != NULL && p->by.is_brgemm;
}

void *rn_onednn_scratch(rn_onednn_thread *d, size_t bytes) {
  enum { LINE = 64 };
  if (bytes <= d->scratch_bytes) return d->scratch;
  free(d->scratch);
  d->scratch = aligned_alloc(LINE, (size_t)rn_round_up((int64_t)bytes, LINE));
  d->scratch_bytes = d->scratch != NULL ? bytes : 0;
  return d->scratch;
}
