/**
 * Replays the recorded products without the other work of a training step.
 *
 * The replay keeps the backend, the shapes, the number of threads, and the relative layout and size
 * of the operands in memory. Its block of memory has about 1 GiB at most, which is far larger than
 * any cache; operands that do not fit share memory with others. Threads take groups of products in
 * the recorded order and synchronize only at the end. A group consists of consecutive calls of one
 * thread, some tens of MFLOP in total, because these calls pass intermediate results through the
 * thread's cache.
 */
#ifndef RN_MODEL_KERNEL_GEMM_REPLAY_H
#define RN_MODEL_KERNEL_GEMM_REPLAY_H

#include "model/kernel/gemm_record.h"
#include "proto/base/arena.h"

typedef struct rn_gemm_replay {
  const rn_gemm_backend *table;
  rn_recorded_gemm *call; /* sorted by group */
  int64_t groups;
  int64_t *first; /* [groups + 1]: index of the first product of each group */
  rn_arena memory;
} rn_gemm_replay;

/** Creates a replay of `record`, which may be freed afterwards. Errors: RN_ERR_MEMORY. */
rn_status rn_gemm_replay_create(rn_err *err, const rn_gemm_record *record, rn_gemm_replay *out);
void rn_gemm_replay_destroy(rn_gemm_replay *replay);

/** Computes all products on operands in the replay's own memory. */
void rn_gemm_replay_run(const rn_gemm_replay *replay);

#endif
