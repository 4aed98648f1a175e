/**
 * Records the matrix products that a training step issues, call by call.
 *
 * For benchmarks. While recording, the backend in use is replaced by a backend that records each
 * call and forwards it to the original backend. Callers therefore need no change, and there is no
 * cost while nothing is recorded.
 */
#ifndef RN_MODEL_KERNEL_GEMM_RECORD_H
#define RN_MODEL_KERNEL_GEMM_RECORD_H

#include <stdbool.h>

#include "model/kernel/gemm.h"
#include "proto/base/status.h"

/** A recorded call and the thread that issued it. */
typedef struct rn_recorded_gemm {
  rn_gemm_kind kind;
  int thread;
  int m, n, k;
  rn_real beta;
  rn_array a, b, c;
  int64_t lda, ldb, ldc;
} rn_recorded_gemm;

/** The recorded calls, in the order in which they began. Zero-initialize before use; free with
 * rn_gemm_record_destroy. */
typedef struct rn_gemm_record {
  const rn_gemm_backend *table; /* the backend that computes the products */
  rn_recorded_gemm *call;       /* [count] */
  int64_t count;
  size_t capacity;
  double flops; /* sum of 2 m n k over all calls */
  bool lost;    /* true if some calls are missing because memory ran out */
} rn_gemm_record;

/** Starts to record all products of this process; appends to the calls already recorded. */
void rn_gemm_record_start(rn_gemm_record *record);

/** Stops recording. Errors: RN_ERR_MEMORY if calls are missing. */
rn_status rn_gemm_record_stop(rn_err *err, rn_gemm_record *record);

/** Frees the recorded calls. */
void rn_gemm_record_destroy(rn_gemm_record *record);

/** Repeats one recorded call with the backend `table`. */
void rn_recorded_gemm_run(const rn_gemm_backend *table, const rn_recorded_gemm *call);

#endif
