#include "trainer/bench/bench_kernel_list.h"

#include <math.h>

static int larger(int a, int b) {
  return a > b ? a : b;
}

rn_kernel_bench rn_kernel_bench_make(const rn_spec *spec) {
  return (rn_kernel_bench){.spec = *spec,
                           .chunk = spec->chunk,
                           .key_width = rn_spec_key_width(spec),
                           .value_width = rn_spec_value_width(spec),
                           .pair = spec->dim + spec->value_dim};
}

/* ---- buffers ---- */

/* Returns the number of elements of each operand array, rn_kernel_buffers.area[i]. It must be large
 * enough for the rows of a chunk with the strides of a training step, for the scores of two tiles
 * of rows, and for the rows of a row-wise kernel. */
static size_t area_elements(const rn_kernel_bench *b) {
  const size_t chunk = (size_t)b->chunk * (size_t)larger(b->pair, 2 * RN_CHUNK_TILE);
  const size_t rows = RN_BENCH_CACHE_BYTES / sizeof(float) + 2 * (size_t)b->spec.ffn_dim +
                      (size_t)b->spec.vocab + (size_t)b->pair;
  return chunk > rows ? chunk : rows;
}

rn_status rn_kernel_buffers_create(rn_err *err, const rn_kernel_bench *b, rn_kernel_buffers *p) {
  const size_t area = area_elements(b) * sizeof(float);
  const size_t state = (size_t)b->key_width * (size_t)b->value_width * sizeof(float);
  const size_t decay = ((size_t)b->chunk + 1) * sizeof(float);
  const size_t doc_position = (size_t)b->chunk * sizeof(int32_t);
  const size_t sums = 2 * (size_t)b->spec.dim * sizeof(double);
  RN_TRY(err, rn_arena_create(err,
                              RN_BENCH_AREAS * rn_arena_round(area) + 2 * rn_arena_round(state) +
                                  rn_arena_round(decay) + rn_arena_round(doc_position) +
                                  rn_arena_round(sums),
                              &p->arena));
  for (int a = 0; a < RN_BENCH_AREAS; a++) {
    p->area[a] = rn_arena_take(&p->arena, area);
    for (size_t i = 0; i < area_elements(b); i++) p->area[a][i] = (float)(i % 1021) / 10210 - 0.05f;
  }
  p->state = rn_arena_take(&p->arena, state);
  p->adjoint = rn_arena_take(&p->arena, state);
  p->decay = rn_arena_take(&p->arena, decay);
  p->doc_position = rn_arena_take(&p->arena, doc_position);
  p->sums = rn_arena_take(&p->arena, sums);
  for (int i = 0; i <= b->chunk; i++) p->decay[b->chunk - i] = powf(0.97f, (float)i);
  for (int i = 0; i < b->chunk; i++) p->doc_position[i] = b->chunk + i;
  return RN_OK;
}

void rn_kernel_buffers_destroy(rn_kernel_buffers *buffers) {
  rn_arena_destroy(&buffers->arena);
}

/* ---- chunks ---- */

static rn_chunk chunk_of(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  rn_chunk c = {.tokens = b->chunk,
                .key_width = b->key_width,
                .value_width = b->value_width,
                .ldq = b->pair,
                .ldk = b->pair,
                .ldv = b->pair,
                .ldo = b->spec.value_dim,
                .decay = p->decay + b->chunk,
                .doc_position = p->doc_position};
  rn_chunk_cut(&c);
  return c;
}

static rn_chunk_grads grads_of(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  float *d = p->area[4];
  return (rn_chunk_grads){d, d + b->key_width, d + 2 * b->key_width, b->pair, b->pair};
}

/* A row of area[0] holds a row of q followed by a row of k; area[1] holds v. The rows of both
 * arrays have the stride `pair`, as in the model. */
#define Q(p) rn_reals((p)->area[0])
#define K(b, p) rn_reals((p)->area[0] + (b)->key_width)
#define V(p) rn_reals((p)->area[1])
#define O(p) rn_reals((p)->area[2])
#define WORK(p) ((p)->area[3])

static void own(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const rn_chunk c = chunk_of(b, p);
  b->kernels->chunk_own(&c, K(b, p), V(p), WORK(p), p->state);
}

static void inner(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const rn_chunk c = chunk_of(b, p);
  b->kernels->chunk_inner(&c, Q(p), K(b, p), V(p), WORK(p), p->area[2], NULL, 0);
}

static void cross(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const rn_chunk c = chunk_of(b, p);
  b->kernels->chunk_cross(&c, Q(p), rn_reals(p->state), WORK(p), p->area[2]);
}

static void own_backward(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const rn_chunk c = chunk_of(b, p);
  b->kernels->chunk_own_backward(&c, Q(p), O(p), WORK(p), p->adjoint);
}

static void inner_backward(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const rn_chunk c = chunk_of(b, p);
  const rn_chunk_grads grads = grads_of(b, p);
  b->kernels->chunk_inner_backward(&c, Q(p), K(b, p), V(p), O(p), WORK(p), &grads);
}

static void cross_backward(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const rn_chunk c = chunk_of(b, p);
  const rn_chunk_grads grads = grads_of(b, p);
  b->kernels->chunk_cross_backward(&c, K(b, p), V(p), O(p), rn_reals(p->state),
                                   rn_reals(p->adjoint), WORK(p), &grads);
}

/* Returns the FLOP of the product of a chunk's rows with a state. */
static double state_flops(const rn_kernel_bench *b) {
  return 2.0 * b->chunk * b->key_width * b->value_width;
}

static double three_state_flops(const rn_kernel_bench *b) {
  return 3 * state_flops(b);
}

/* Returns the number of scores that the kernel computes for a chunk: for each tile of rows, the
 * columns up to the end of its diagonal block. */
static double scores(const rn_kernel_bench *b) {
  double sum = 0;
  for (int begin = 0; begin < b->chunk; begin += RN_CHUNK_TILE) {
    const int end = begin + RN_CHUNK_TILE < b->chunk ? begin + RN_CHUNK_TILE : b->chunk;
    sum += (double)(end - begin) * end;
  }
  return sum;
}

static double inner_flops(const rn_kernel_bench *b) {
  return 2 * scores(b) * (b->key_width + b->value_width);
}

static double inner_backward_flops(const rn_kernel_bench *b) {
  return 2 * scores(b) * (3 * b->key_width + 2 * b->value_width);
}

/* ---- rows ---- */

/* Returns the number of rows that fill RN_BENCH_CACHE_BYTES if a kernel reads or writes `floats`
 * values per row. */
static int rows_of(double floats) {
  return larger(1, (int)(RN_BENCH_CACHE_BYTES / (floats * sizeof(float))));
}

/* Defines a row-wise kernel by its name, the width of a row, the number of arrays read plus
 * written, and the call. */
#define ROWS(name, width, arrays, call)                                    \
  static int name##_rows(const rn_kernel_bench *b) {                       \
    return rows_of((double)(arrays) * (width));                            \
  }                                                                        \
  static double name##_bytes(const rn_kernel_bench *b) {                   \
    return (double)name##_rows(b) * (arrays) * (width) * sizeof(float);    \
  }                                                                        \
  static void name(const rn_kernel_bench *b, const rn_kernel_buffers *p) { \
    const rn_spec *s = &b->spec;                                           \
    for (int r = 0; r < name##_rows(b); r++) {                             \
      const int64_t at = (int64_t)r * (width);                             \
      call;                                                                \
    }                                                                      \
    (void)s;                                                               \
  }

ROWS(rotate, b->spec.dim, 2,
     b->kernels->rotate(s->rotary, s->heads, b->key_width, p->area[1], p->area[2], 1, 1,
                        p->area[0] + at))
ROWS(head_norm, b->value_width, 2,
     b->kernels->head_norm(s->head_norm, b->value_width, s->norm_eps, 1, p->area[0] + at))
ROWS(head_norm_backward, b->value_width, 3,
     b->kernels->head_norm_backward(s->head_norm, b->value_width, p->area[0] + at, 1,
                                    p->area[1] + at))
ROWS(gate, b->value_width, 3,
     b->kernels->gate(b->value_width, p->area[0] + at, NULL, p->area[1] + at, p->area[2] + at))
ROWS(gate_backward, b->value_width, 6,
     b->kernels->gate_backward(b->value_width, p->area[0] + at, NULL, p->area[1] + at,
                               p->area[2] + at, p->area[3] + at))
ROWS(decay_and_add, b->value_width, 3,
     b->kernels->decay_and_add(0.5f, b->value_width, p->area[0] + at, p->area[1] + at))
ROWS(norm, b->spec.dim, 2,
     b->kernels->norm(s->block_norm, s->dim, s->norm_eps, p->area[3], p->area[3], p->area[0] + at,
                      rn_reals(p->area[1] + at), p->area[4]))
ROWS(norm_backward, b->spec.dim, 4,
     b->kernels->norm_backward(s->block_norm, s->dim, p->area[3], p->area[0] + at, p->area[4],
                               p->area[1] + at, p->area[2] + at, p->area[2] + at))
ROWS(norm_weight, b->spec.dim, 2,
     b->kernels->norm_weight(s->dim, p->area[0] + at, p->area[4], p->area[1] + at, p->sums,
                             p->sums + s->dim))
ROWS(activation, b->spec.ffn_dim, 2,
     b->kernels->activate(s->activation, s->ffn_dim, p->area[0] + at, p->area[1] + at, NULL))
ROWS(ffn, b->spec.ffn_dim, 3,
     b->kernels->ffn(s->activation, s->ffn_dim, p->area[0] + 2 * at,
                     p->area[0] + 2 * at + s->ffn_dim, p->area[1] + at))
ROWS(ffn_backward, b->spec.ffn_dim, 6,
     b->kernels->ffn_backward(s->activation, s->ffn_dim, p->area[1] + at, p->area[0] + 2 * at,
                              p->area[0] + 2 * at + s->ffn_dim, p->area[2] + at))
ROWS(cross_entropy, b->spec.vocab, 2,
     b->kernels->cross_entropy(s->vocab, p->area[0] + at, 0, true, 1e-3))

/* ---- decoding: update of a state, product of a row with a matrix ---- */

static void recurrence(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  b->kernels->recur(b->key_width, b->value_width, 0.5f, p->area[0], p->area[0] + b->key_width,
                    p->area[1], p->state, p->area[2]);
}

static double recurrence_bytes(const rn_kernel_bench *b) {
  return 2.0 * b->key_width * b->value_width * sizeof(float);
}

static void one_row(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const int k = b->spec.dim;
  b->kernels->skinny_gemm(1, rows_of(k), k, p->area[1], k, rn_reals(p->area[0]), k, 0, p->area[2],
                          rows_of(k));
}

static void one_row_in_half(const rn_kernel_bench *b, const rn_kernel_buffers *p) {
  const int k = b->spec.dim;
  const rn_array w = rn_bf16s((const rn_bf16 *)(const void *)p->area[0]);
  b->kernels->skinny_gemm(1, rows_of(k), k, p->area[1], k, w, k, 0, p->area[2], rows_of(k));
}

static double one_row_in_half_bytes(const rn_kernel_bench *b) {
  return (double)rows_of(b->spec.dim) * b->spec.dim * sizeof(rn_bf16);
}

static double one_row_bytes(const rn_kernel_bench *b) {
  return (double)rows_of(b->spec.dim) * b->spec.dim * sizeof(float);
}

enum { PLAINEST = 6 };

static const rn_kernel_case cases[] = {
    {"chunk state", own, state_flops, NULL},
    {"chunk inner", inner, inner_flops, NULL},
    {"chunk cross", cross, state_flops, NULL},
    {"chunk state, backward", own_backward, state_flops, NULL},
    {"chunk inner, backward", inner_backward, inner_backward_flops, NULL},
    {"chunk cross, backward", cross_backward, three_state_flops, NULL},
    [PLAINEST] = {"decay and add", decay_and_add, NULL, decay_and_add_bytes},
    {"rotate", rotate, NULL, rotate_bytes},
    {"head norm", head_norm, NULL, head_norm_bytes},
    {"head norm, backward", head_norm_backward, NULL, head_norm_backward_bytes},
    {"gate", gate, NULL, gate_bytes},
    {"gate, backward", gate_backward, NULL, gate_backward_bytes},
    {"norm", norm, NULL, norm_bytes},
    {"norm, backward", norm_backward, NULL, norm_backward_bytes},
    {"norm weight, backward", norm_weight, NULL, norm_weight_bytes},
    {"activation", activation, NULL, activation_bytes},
    {"GLU", ffn, NULL, ffn_bytes},
    {"GLU, backward", ffn_backward, NULL, ffn_backward_bytes},
    {"softmax and loss", cross_entropy, NULL, cross_entropy_bytes},
    {"recurrence", recurrence, NULL, recurrence_bytes},
    {"matrix-vector", one_row, NULL, one_row_bytes},
    {"matrix-vector, bf16", one_row_in_half, NULL, one_row_in_half_bytes},
};

const rn_kernel_case *rn_kernel_case_at(int index) {
  return index < (int)(sizeof cases / sizeof cases[0]) ? &cases[index] : NULL;
}

const rn_kernel_case *rn_kernel_case_plainest(void) {
  return &cases[PLAINEST];
}
