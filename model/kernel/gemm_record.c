#include "model/kernel/gemm_record.h"

#include <omp.h>
#include <stdlib.h>

static rn_gemm_record *recording;

static void append(const rn_recorded_gemm *product) {
  rn_gemm_record *r = recording;
  if (r->count == r->room) {
    const int64_t room = r->room > 0 ? 2 * r->room : 1 << 12;
    rn_recorded_gemm *grown = realloc(r->product, (size_t)room * sizeof *grown);
    if (grown == NULL) {
      r->lost = true;
      return;
    }
    r->product = grown;
    r->room = room;
  }
  r->product[r->count++] = *product;
  r->flops += 2.0 * product->m * product->n * product->k;
}

void rn_recorded_gemm_make(const rn_gemm_backend *table, const rn_recorded_gemm *p) {
  rn_gemm_by(table, p->kind, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, p->beta, p->c, p->ldc);
}

static void note_and_make(rn_recorded_gemm product) {
  product.thread = omp_get_thread_num();
#pragma omp critical(rn_gemm_record)
  append(&product);
  rn_recorded_gemm_make(recording->table, &product);
}

#define NOTED(name, its_kind)                                                              \
  static void name(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,      \
                   const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc) { \
    (void)alpha; /* always 1 */                                                            \
    note_and_make((rn_recorded_gemm){.kind = (its_kind),                                   \
                                     .m = m,                                               \
                                     .n = n,                                               \
                                     .k = k,                                               \
                                     .beta = beta,                                         \
                                     .a = rn_reals(a),                                     \
                                     .b = rn_reals(b),                                     \
                                     .c = rn_reals(c),                                     \
                                     .lda = lda,                                           \
                                     .ldb = ldb,                                           \
                                     .ldc = ldc});                                         \
  }

#define NOTED_HALF(name, its_kind)                                                       \
  static void name(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b, \
                   int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {                 \
    note_and_make((rn_recorded_gemm){.kind = (its_kind),                                 \
                                     .m = m,                                             \
                                     .n = n,                                             \
                                     .k = k,                                             \
                                     .beta = beta,                                       \
                                     .a = rn_bf16s(a),                                   \
                                     .b = rn_bf16s(b),                                   \
                                     .c = c,                                             \
                                     .lda = lda,                                         \
                                     .ldb = ldb,                                         \
                                     .ldc = ldc});                                       \
  }

NOTED(note_nn, RN_GEMM_NN)
NOTED(note_nt, RN_GEMM_NT)
NOTED(note_tn, RN_GEMM_TN)
NOTED(note_nt_exact, RN_GEMM_NT_FP64_ACCUMULATE)
NOTED_HALF(note_half_nn, RN_GEMM_NN)
NOTED_HALF(note_half_nt, RN_GEMM_NT)
NOTED_HALF(note_half_tn, RN_GEMM_TN)

static const rn_gemm_backend reals_noted = {
    .nn = note_nn, .nt = note_nt, .tn = note_tn, .nt_fp64_accumulate = note_nt_exact};
static const rn_gemm_backend bf16_noted = {.nn = note_nn,
                                           .nt = note_nt,
                                           .tn = note_tn,
                                           .nt_fp64_accumulate = note_nt_exact,
                                           .bf16_nn = note_half_nn,
                                           .bf16_nt = note_half_nt,
                                           .bf16_tn = note_half_tn};
static rn_gemm_backend noting;

void rn_gemm_record_start(rn_gemm_record *record) {
  noting = rn_gemm_takes_bf16() ? bf16_noted : reals_noted;
  record->table = rn_gemm_backend_swap(&noting);
  noting.name = record->table->name;
  recording = record;
}

rn_status rn_gemm_record_stop(rn_err *err, rn_gemm_record *record) {
  rn_gemm_backend_swap(record->table);
  recording = NULL;
  if (!record->lost) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "no memory for a record of %lld products",
                 (long long)record->count);
}

void rn_gemm_record_destroy(rn_gemm_record *record) {
  free(record->product);
  *record = (rn_gemm_record){0};
}
