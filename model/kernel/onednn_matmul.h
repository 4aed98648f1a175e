/**
 * Creates a matrix product with oneDNN, which generates code for the product's shape. Hides the
 * differences between the C APIs of oneDNN 2 and 3.
 */
#ifndef RN_MODEL_KERNEL_ONEDNN_MATMUL_H
#define RN_MODEL_KERNEL_ONEDNN_MATMUL_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

/** A matrix in memory: element (i, j) is at i * row_stride + j * col_stride. If `packed`, it is a
 * bf16 matrix of panels, packed as in model/kernel/gemm_pack.h, and the strides are ignored. */
typedef struct rn_onednn_matrix {
  int64_t rows, cols, row_stride, col_stride;
  dnnl_data_type_t type;
  bool packed;
} rn_onednn_matrix;

/** The generated code, and a handle for each operand. The caller attaches memory to the handles
 * before a call. `is_brgemm` is true if the code is oneDNN's brgemm code, which is the fastest and
 * also uses AMX; other code packs both operands in each call. */
typedef struct rn_onednn_matmul {
  dnnl_primitive_t code;
  dnnl_memory_t a, b, c;
  bool is_brgemm;
} rn_onednn_matmul;

/**
 * Creates a product c = a b, or c += a b if `add`.
 *
 * Ownership: free with rn_onednn_matmul_destroy.
 * Errors:    returns false if out of memory or if the CPU does not support the type; *out is then
 *            empty.
 */
bool rn_onednn_matmul_create(dnnl_engine_t engine, rn_onednn_matrix a, rn_onednn_matrix b,
                             rn_onednn_matrix c, bool add, rn_onednn_matmul *out);

/** Frees a product and leaves it empty. Accepts an empty or partly created product. */
void rn_onednn_matmul_destroy(rn_onednn_matmul *matmul);

#endif
