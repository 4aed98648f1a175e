/**
 * The products that a step really issues: noted call by call while the table in use makes them.
 *
 * For measuring. A record stands in for the table, so that who calls products does not know of it,
 * and nothing is spent when there is none.
 */
#ifndef RN_MODEL_KERNEL_PRODUCTS_RECORD_H
#define RN_MODEL_KERNEL_PRODUCTS_RECORD_H

#include <stdbool.h>

#include "model/kernel/products.h"
#include "proto/status.h"

/** One call, and the thread that made it. */
typedef struct rn_product {
  rn_product_kind kind;
  int thread;
  int m, n, k;
  rn_real beta;
  rn_array a, b, c;
  int64_t lda, ldb, ldc;
} rn_product;

/** Calls in the order in which they began. Zero-initialise, rn_products_record_destroy. */
typedef struct rn_products_record {
  const rn_products *table; /* that makes them */
  rn_product *product;      /* [count] */
  int64_t count, room;
  double flops; /* of all calls: 2 m n k each */
  bool lost;    /* memory ran out: not all are here */
} rn_products_record;

/** Notes all products of this process from now on, with those that the record holds already. */
void rn_products_record_start(rn_products_record *record);

/** Errors: RN_ERR_MEMORY when calls were lost. */
rn_status rn_products_record_stop(rn_err *err, rn_products_record *record);

void rn_products_record_destroy(rn_products_record *record);

/** Makes one call once more. */
void rn_product_make(const rn_products *table, const rn_product *product);

#endif
