/** Lists the kernels of a model. Each is wrapped in a function that one thread runs on its own
 * buffers. */
#ifndef RN_TRAINER_BENCH_BENCH_KERNEL_LIST_H
#define RN_TRAINER_BENCH_BENCH_KERNEL_LIST_H

#include "model/kernel/kernels.h"
#include "proto/base/arena.h"

/** RN_BENCH_CACHE_BYTES is the number of bytes that a row-wise kernel reads and writes in one run;
 * they fit into the private cache of a core. RN_BENCH_AREAS is the number of operand arrays. */
enum { RN_BENCH_CACHE_BYTES = 1 << 19, RN_BENCH_AREAS = 5 };

/** The sizes of the model and the kernel set under test. */
typedef struct rn_kernel_bench {
  const rn_kernels *kernels;
  rn_spec spec;
  int chunk, key_width, value_width, pair; /* C, K, V, and the row stride of q, k and v */
} rn_kernel_bench;

/** The operands of one thread. */
typedef struct rn_kernel_buffers {
  rn_arena arena;
  float *area[RN_BENCH_AREAS]; /* operand arrays, filled with values between -0.05 and 0.05 */
  float *state, *adjoint;      /* [K, V] */
  float *decay;                /* [C + 1], as in rn_chunk */
  int32_t *doc_position;       /* [C] positions in a document that began before the chunk */
  double *sums;                /* [2, D] */
} rn_kernel_buffers;

/** Returns the sizes of a model; the caller sets `kernels`. */
rn_kernel_bench rn_kernel_bench_make(const rn_spec *spec);

/** Allocates and fills the operands of one thread. Errors: RN_ERR_MEMORY. */
rn_status rn_kernel_buffers_create(rn_err *err, const rn_kernel_bench *bench,
                                   rn_kernel_buffers *out);
void rn_kernel_buffers_destroy(rn_kernel_buffers *buffers);

/** One kernel. `flops` is set if the GEMM rate limits the kernel; otherwise `bytes` is set. */
typedef struct rn_kernel_case {
  const char *name;
  void (*run)(const rn_kernel_bench *bench, const rn_kernel_buffers *buffers);
  double (*flops)(const rn_kernel_bench *bench);
  double (*bytes)(const rn_kernel_bench *bench);
} rn_kernel_case;

/** Returns the kernel with index `index`, or NULL after the last one. */
const rn_kernel_case *rn_kernel_case_at(int index);

/** Returns the row-wise kernel with the least work per byte. */
const rn_kernel_case *rn_kernel_case_plainest(void);

#endif
