/** Declares what the files of backward share: its arguments, a block of keys, and a table of
 * functions that compute its matrix products. */
#ifndef RN_MODEL_ATTENTION_ATTENTION_BACKWARD_H
#define RN_MODEL_ATTENTION_ATTENTION_BACKWARD_H

#include "model/attention/attention.h"
#include "model/attention/attention_block.h"
#include "model/attention/attention_progress.h"

/** The arguments of backward that are the same for all heads. */
typedef struct rn_attention_backward_args {
  const rn_attention *a;
  const rn_attention_view *view;
  rn_matrix o;
  const rn_real *lse;
  rn_real *delta;
  const rn_attention_grads *grads;
} rn_attention_backward_args;

/** A block of keys. */
typedef struct rn_key_block {
  const rn_attention_backward_args *x;
  rn_attention_head h; /* `head` is the query head that is being processed */
  rn_range keys;
  rn_real *scratch; /* scratch memory of the thread, laid out by the functions of
                       rn_attention_products */
  rn_real *dk, *dv; /* first row of the block in the gradients of k and v */
  rn_attention_progress *progress;
} rn_key_block;

/**
 * The functions that compute the matrix products of backward for one type of operands. `queries` is
 * a block of queries, and `seen` is the range of keys in block b that at least one of these queries
 * sees.
 *
 * begin loads the rows of the block of keys. recompute computes P and dS of a block of queries; the
 * other functions use them. add_to_keys computes dk += dS^T q and dv += P^T do. multiply_keys
 * computes dq = dS k, or dq += dS k if `add`; dq points to the first query.
 */
typedef struct rn_attention_products {
  void (*begin)(const rn_key_block *b);
  void (*recompute)(const rn_key_block *b, rn_range queries, rn_range seen);
  void (*add_to_keys)(const rn_key_block *b, rn_range queries, rn_range seen);
  void (*multiply_keys)(const rn_key_block *b, rn_range queries, rn_range seen, bool add,
                        rn_real *dq);
} rn_attention_products;

/** Operands in rn_real, multiplied by kernels. */
extern const rn_attention_products rn_attention_products_real;
/** Operands in bf16, multiplied by the GEMM backend. */
extern const rn_attention_products rn_attention_products_backend;
/** Operands in bf16, multiplied by the kernel pair_product. */
extern const rn_attention_products rn_attention_products_pairs;

/** For a block [queries, RN_ATTENTION_KEYS], replaces the scores in `p` by P, and dP in `ds` by dS.
 * Entries for keys that the query does not see become 0. */
void rn_attention_probabilities(const rn_key_block *b, rn_range queries, rn_range seen, rn_real *p,
                                rn_real *ds);

#endif
