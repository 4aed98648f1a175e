/**
 * The products that a step really issues: noted call by call while the table in use makes them.
 *
 * For measuring. A record stands in for the table, so that who calls products does not know of it,
 * and nothing is spent when there is none.
 */
#ifndef RN_MODEL_KERNEL_GEMM_RECORD_H
#define RN_MODEL_KERNEL_GEMM_RECORD_H

#include <stdbool.h>

#include "model/kernel/gemm.h"
#include "proto/base/status.h"

/** One call, and the thread that made it. */
typedef struct rn_recorded_gemm {
  rn_gemm_kind kind;
  int thread;
  int m, n, k;
  rn_real beta;
  rn_array a, b, c;
  int64_t lda, ldb, ldc;
} rn_recorded_gemm;

/** Calls in the order in which they began. Zero-initialise, rn_gemm_record_destroy. */
typedef struct rn_gemm_record {
  const rn_gemm_backend *table; /* that makes them */
  rn_recorded_gemm *product;    /* [count] */
  int64_t count, room;
  double flops; /* of all calls: 2 m n k each */
  bool lost;    /* memory ran out: not all are here */
} rn_gemm_record;

/** Notes all products of this process from now on, with those that the record holds already. */
void rn_gemm_record_start(rn_gemm_record *record);

/** Errors: RN_ERR_MEMORY when calls were lost. */
rn_status rn_gemm_record_stop(rn_err *err, rn_gemm_record *record);

void rn_gemm_record_destroy(rn_gemm_record *record);

/** Makes one call once more. */
void rn_recorded_gemm_make(const rn_gemm_backend *table, const rn_recorded_gemm *product);

#endif
