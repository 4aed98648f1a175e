#include "model/kernel/gemm_record.h"

#include <omp.h>
#include <stdlib.h>

#include "proto/base/arena.h"

static rn_gemm_record *recording;

static void append(const rn_recorded_gemm *call) {
  rn_gemm_record *r = recording;
  if (rn_grow(NULL, "matrix products", (size_t)r->count + 1, sizeof *call, &r->call,
              &r->capacity) != RN_OK) {
    r->lost = true;
    return;
  }
  r->call[r->count++] = *call;
  r->flops += 2.0 * call->m * call->n * call->k;
}

void rn_recorded_gemm_run(const rn_gemm_backend *table, const rn_recorded_gemm *p) {
  rn_gemm_by(table, p->kind, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, p->beta, p->c, p->ldc);
}

static void record_and_run(rn_recorded_gemm call) {
  call.thread = omp_get_thread_num();
#pragma omp critical(rn_gemm_record)
  append(&call);
  rn_recorded_gemm_run(recording->table, &call);
}

#define RECORDED(name, its_kind)                                                           \
  static void name(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,      \
                   const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc) { \
    (void)alpha; /* always 1 */                                                            \
    record_and_run((rn_recorded_gemm){.kind = (its_kind),                                  \
                                      .m = m,                                              \
                                      .n = n,                                              \
                                      .k = k,                                              \
                                      .beta = beta,                                        \
                                      .a = rn_reals(a),                                    \
                                      .b = rn_reals(b),                                    \
                                      .c = rn_reals(c),                                    \
                                      .lda = lda,                                          \
                                      .ldb = ldb,                                          \
                                      .ldc = ldc});                                        \
  }

#define RECORDED_BF16(name, its_kind)                                                    \
  static void name(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b, \
                   int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {                 \
    record_and_run((rn_recorded_gemm){.kind = (its_kind),                                \
                                      .m = m,                                            \
                                      .n = n,                                            \
                                      .k = k,                                            \
                                      .beta = beta,                                      \
                                      .a = rn_bf16s(a),                                  \
                                      .b = rn_bf16s(b),                                  \
                                      .c = c,                                            \
                                      .lda = lda,                                        \
                                      .ldb = ldb,                                        \
                                      .ldc = ldc});                                      \
  }

RECORDED(record_nn, RN_GEMM_NN)
RECORDED(record_nt, RN_GEMM_NT)
RECORDED(record_tn, RN_GEMM_TN)
RECORDED(record_nt_fp64_accumulate, RN_GEMM_NT_FP64_ACCUMULATE)
RECORDED_BF16(record_bf16_nn, RN_GEMM_NN)
RECORDED_BF16(record_bf16_nt, RN_GEMM_NT)
RECORDED_BF16(record_bf16_tn, RN_GEMM_TN)
RECORDED_BF16(record_bf16_packed, RN_GEMM_PACKED)

static const rn_gemm_backend recording_reals = {.nn = record_nn,
                                                .nt = record_nt,
                                                .tn = record_tn,
                                                .nt_fp64_accumulate = record_nt_fp64_accumulate};
static const rn_gemm_backend recording_bf16 = {.nn = record_nn,
                                               .nt = record_nt,
                                               .tn = record_tn,
                                               .nt_fp64_accumulate = record_nt_fp64_accumulate,
                                               .bf16_nn = record_bf16_nn,
                                               .bf16_nt = record_bf16_nt,
                                               .bf16_tn = record_bf16_tn};
static rn_gemm_backend recorder;

void rn_gemm_record_start(rn_gemm_record *record) {
  recorder = rn_gemm_takes_bf16() ? recording_bf16 : recording_reals;
  record->table = rn_gemm_backend_swap(&recorder);
  recorder.name = record->table->name;
  recorder.transposes = record->table->transposes;
  if (record->table->bf16_packed != NULL) recorder.bf16_packed = record_bf16_packed;
  recording = record;
}

rn_status rn_gemm_record_stop(rn_err *err, rn_gemm_record *record) {
  rn_gemm_backend_swap(record->table);
  recording = NULL;
  if (!record->lost) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while recording %lld matrix products",
                 (long long)record->count);
}

void rn_gemm_record_destroy(rn_gemm_record *record) {
  free(record->call);
  *record = (rn_gemm_record){0};
}
