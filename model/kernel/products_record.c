#include "model/kernel/products_record.h"

#include <omp.h>
#include <stdlib.h>

static rn_products_record *recording;

static void append(const rn_product *product) {
  rn_products_record *r = recording;
  if (r->count == r->room) {
    const int64_t room = r->room > 0 ? 2 * r->room : 1 << 12;
    rn_product *grown = realloc(r->product, (size_t)room * sizeof *grown);
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

void rn_product_make(const rn_products *table, const rn_product *p) {
  rn_multiply_by(table, p->kind, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, p->beta, p->c,
                 p->ldc);
}

static void note_and_make(rn_product product) {
  product.thread = omp_get_thread_num();
#pragma omp critical(rn_products_record)
  append(&product);
  rn_product_make(recording->table, &product);
}

#define NOTED(name, its_kind)                                                              \
  static void name(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,      \
                   const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc) { \
    (void)alpha; /* always 1 */                                                            \
    note_and_make((rn_product){.kind = (its_kind),                                         \
                               .m = m,                                                     \
                               .n = n,                                                     \
                               .k = k,                                                     \
                               .beta = beta,                                               \
                               .a = rn_reals(a),                                           \
                               .b = rn_reals(b),                                           \
                               .c = rn_reals(c),                                           \
                               .lda = lda,                                                 \
                               .ldb = ldb,                                                 \
                               .ldc = ldc});                                               \
  }

#define NOTED_HALF(name, its_kind)                                                       \
  static void name(int m, int n, int k, const rn_half *a, int64_t lda, const rn_half *b, \
                   int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {                 \
    note_and_make((rn_product){.kind = (its_kind),                                       \
                               .m = m,                                                   \
                               .n = n,                                                   \
                               .k = k,                                                   \
                               .beta = beta,                                             \
                               .a = rn_halves(a),                                        \
                               .b = rn_halves(b),                                        \
                               .c = c,                                                   \
                               .lda = lda,                                               \
                               .ldb = ldb,                                               \
                               .ldc = ldc});                                             \
  }

NOTED(note_nn, RN_PRODUCT_NN)
NOTED(note_nt, RN_PRODUCT_NT)
NOTED(note_tn, RN_PRODUCT_TN)
NOTED(note_nt_exact, RN_PRODUCT_NT_EXACT)
NOTED_HALF(note_half_nn, RN_PRODUCT_NN)
NOTED_HALF(note_half_nt, RN_PRODUCT_NT)
NOTED_HALF(note_half_tn, RN_PRODUCT_TN)

static const rn_products reals_noted = {
    .nn = note_nn, .nt = note_nt, .tn = note_tn, .nt_exact = note_nt_exact};
static const rn_products halves_noted = {.nn = note_nn,
                                         .nt = note_nt,
                                         .tn = note_tn,
                                         .nt_exact = note_nt_exact,
                                         .half_nn = note_half_nn,
                                         .half_nt = note_half_nt,
                                         .half_tn = note_half_tn};
static rn_products noting;

void rn_products_record_start(rn_products_record *record) {
  noting = rn_products_in_half() ? halves_noted : reals_noted;
  record->table = rn_products_exchange(&noting);
  noting.name = record->table->name;
  recording = record;
}

rn_status rn_products_record_stop(rn_err *err, rn_products_record *record) {
  rn_products_exchange(record->table);
  recording = NULL;
  if (!record->lost) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "no memory for a record of %lld products",
                 (long long)record->count);
}

void rn_products_record_destroy(rn_products_record *record) {
  free(record->product);
  *record = (rn_products_record){0};
}
