/**
 * Packs weights for products with many blocks of rows.
 *
 * A gemm backend rearranges its operands in each call. The fewer rows a call has, the larger is the
 * cost: 25 % of the rate with 64 rows in single precision. Therefore, a weight that is used for
 * many blocks of rows is rearranged once, by all threads, and the products use the rearranged copy.
 * Two layouts exist:
 *
 *   in rn_real   w [n, k] of an NT product is transposed to [k, ld]; products are NN products
 *   in bf16      panels of RN_PACK_COLS columns [columns / 64][sum / 32][16][64][2]: pairs of
 *                consecutive elements of a sum are neighbors, as AVX-512 and AMX instructions need
 *                them (oneDNN calls this layout BA16a64b2a). Tails are zero.
 *
 * Which weights are packed depends only on the backend, and so only on the build and the CPU.
 */
#ifndef RN_MODEL_KERNEL_GEMM_PACK_H
#define RN_MODEL_KERNEL_GEMM_PACK_H

#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/kernel/gemm.h"
#include "proto/base/range.h"

/** Number of columns of a panel, and the multiple to which the length of sums is padded. */
enum { RN_PACK_COLS = 64, RN_PACK_SUM = 32 };

/** A weight of products y [rows, n] = x [rows, k] op(w). `w` is [n, k] for RN_GEMM_NT, and [k, n]
 * for RN_GEMM_NN. */
typedef struct rn_packed_weight {
  rn_gemm_kind kind;
  int n, k;
  rn_matrix w;
  rn_array packed; /* not owned; if `at` is NULL, products use w */
} rn_packed_weight;

/** Returns the number of elements of a packed weight; 0 if the backend in use needs no copy. */
int64_t rn_gemm_pack_elements(rn_gemm_kind kind, int n, int k, bool bf16);

/** Returns the number of pieces into which the packing of a weight is divided; 0 if the weight is
 * not packed. Threads can pack different pieces concurrently. */
int rn_gemm_pack_pieces(const rn_packed_weight *weight);
void rn_gemm_pack_piece(const rn_packed_weight *weight, int piece);

/** Computes columns `cols` of x op(w) + beta y for `rows` rows. The matrix `y` begins at the first
 * of these columns. The weight must be packed. */
void rn_gemm_packed(const rn_packed_weight *weight, int rows, rn_range cols, rn_matrix x,
                    rn_real beta, rn_matrix y);

#endif
