/** Sums gradients in a fixed order. The reduce-scatter uses it. */
#ifndef RN_COMM_OPTIMIZER_GRADIENT_SUM_H
#define RN_COMM_OPTIMIZER_GRADIENT_SUM_H

#include <stddef.h>
#include <stdint.h>

/** Element type of a reduction: float (FLOAT), or int64_t (EXACT), whose sums do not depend on the
 * order. */
typedef enum { RN_REDUCE_FLOAT, RN_REDUCE_EXACT } rn_reduce_kind;

/** Returns the size of an element in bytes. Not collective. Errors: none. */
size_t rn_reduce_kind_bytes(rn_reduce_kind kind);

/**
 * Computes sum [count] = addend[0] + addend[1] + ... + addend[addends - 1], added in this order,
 * with all threads of the rank. addend[0] may be `sum`. Not collective. Errors: none.
 */
void rn_gradient_sum(rn_reduce_kind kind, int64_t count, const char *const *addend, int addends,
                     char *sum);

#endif
