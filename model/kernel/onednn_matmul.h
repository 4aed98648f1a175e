/**
 * A matrix product whose code oneDNN makes for its shape: the part of oneDNN's C API that differs
 * between versions 2 and 3, behind one interface.
 */
#ifndef RN_MODEL_KERNEL_ONEDNN_MATMUL_H
#define RN_MODEL_KERNEL_ONEDNN_MATMUL_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

/** A matrix in memory: element (i, j) is at i * row_stride + j * col_stride. */
typedef struct rn_onednn_matrix {
  int64_t rows, cols, row_stride, col_stride;
  dnnl_data_type_t type;
} rn_onednn_matrix;

/** The code, and a handle for each operand, to which the caller attaches memory before a call. */
typedef struct rn_onednn_matmul {
  dnnl_primitive_t code;
  dnnl_memory_t a, b, c;
} rn_onednn_matmul;

/**
 * c = a b, or c += a b if `add`.
 *
 * Ownership: release it with rn_onednn_matmul_destroy.
 * Errors:    false if memory is lacking or the CPU lacks the type; *out is then empty.
 */
bool rn_onednn_matmul_create(dnnl_engine_t engine, rn_onednn_matrix a, rn_onednn_matrix b,
                             rn_onednn_matrix c, bool add, rn_onednn_matmul *out);

/** Also takes an empty or a half-built one; it is empty afterwards. */
void rn_onednn_matmul_destroy(rn_onednn_matmul *matmul);

#endif
