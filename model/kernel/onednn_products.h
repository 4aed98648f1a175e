/**
 * Computes products of bf16 operands with oneDNN, which generates code for each shape at the first
 * call.
 *
 * Each thread caches the code in a hash table of fixed size; a new entry replaces an old one with
 * the same hash.
 */
#ifndef RN_MODEL_KERNEL_ONEDNN_PRODUCTS_H
#define RN_MODEL_KERNEL_ONEDNN_PRODUCTS_H

#include "model/base/array.h"
#include "model/kernel/onednn_matmul.h"

/** The shape of a product c = op(a) op(b), or c += op(a) op(b) if `add`. It determines the
 * generated code. If `b_packed`, b consists of panels (model/kernel/gemm_pack.h). */
typedef struct rn_onednn_shape {
  int64_t m, n, k, lda, ldb, ldc;
  bool a_transposed, b_transposed, b_packed, add, c_bf16;
} rn_onednn_shape;

/** The generated code and the scratch memory of one thread. Freed when the thread ends. */
typedef struct rn_onednn_thread rn_onednn_thread;

/** Returns the calling thread's state, creating it on first use; NULL if out of memory. */
rn_onednn_thread *rn_onednn_thread_own(void);

/** Computes a product. Returns false if out of memory. */
bool rn_onednn_execute(rn_onednn_thread *thread, rn_onednn_shape shape, const rn_bf16 *a,
                       const rn_bf16 *b, rn_array c);

/** Returns true if oneDNN generates brgemm code for a product; see rn_onednn_matmul. */
bool rn_onednn_is_brgemm(rn_onednn_thread *thread, rn_onednn_shape shape);

/** Returns scratch memory of the thread, valid until the next call; NULL if out of memory. */
void *rn_onednn_scratch(rn_onednn_thread *thread, size_t bytes);

#endif
