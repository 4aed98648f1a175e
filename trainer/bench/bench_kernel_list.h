/** The kernels of a model, each made ready to be run alone on one thread, or as a whole. */
#ifndef RN_TRAINER_BENCH_BENCH_KERNEL_LIST_H
#define RN_TRAINER_BENCH_BENCH_KERNEL_LIST_H

#include "model/kernel/kernels.h"
#include "proto/base/arena.h"

/** Bytes that a kernel of rows goes over in one run: they stay in a core's own cache. */
enum { RN_BENCH_CACHE_BYTES = 1 << 19, RN_BENCH_AREAS = 5 };

/** The model's sizes, and the set of kernels at hand. */
typedef struct rn_kernel_bench {
  const rn_kernels *kernels;
  rn_spec spec;
  int chunk, key_width, value_width, pair; /* C, K, V, D + value_dim: rows of k and v lie so far */
} rn_kernel_bench;

/** What one thread works on. */
typedef struct rn_kernel_buffers {
  rn_arena arena;
  float *area[RN_BENCH_AREAS]; /* numbers of about 1/20 */
  float *state, *adjoint;      /* [K, V] */
  float *decay;                /* [C + 1], as rn_chunk has it */
  int32_t *since;              /* [C] of one document */
  double *sums;                /* [2, D] */
} rn_kernel_buffers;

rn_kernel_bench rn_kernel_bench_make(const rn_spec *spec);

/** Errors: RN_ERR_MEMORY. */
rn_status rn_kernel_buffers_create(rn_err *err, const rn_kernel_bench *bench,
                                   rn_kernel_buffers *out);
void rn_kernel_buffers_destroy(rn_kernel_buffers *place);

/** One kernel: it has FLOP where products are its limit, else bytes. */
typedef struct rn_kernel_case {
  const char *name;
  void (*run)(const rn_kernel_bench *bench, const rn_kernel_buffers *place);
  double (*flops)(const rn_kernel_bench *bench);
  double (*bytes)(const rn_kernel_bench *bench);
} rn_kernel_case;

/** The kernel of that number; NULL behind the last one. */
const rn_kernel_case *rn_kernel_case_at(int number);

/** The kernel of rows that does the least to what it goes over. */
const rn_kernel_case *rn_kernel_case_plainest(void);

#endif
