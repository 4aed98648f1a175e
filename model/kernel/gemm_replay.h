/**
 * Recorded products made once more, without all that lay between them.
 *
 * They keep their provider, shapes and number of threads, and memory that lies as theirs did, as
 * large (up to 1 GiB, which is far beyond any cache). Threads take them in the recorded order and
 * wait for each other at the end only. Calls that one thread made one after the other stay
 * together, some tens of MFLOP at a time: they hand intermediate results to each other in its
 * cache.
 */
#ifndef RN_MODEL_KERNEL_GEMM_REPLAY_H
#define RN_MODEL_KERNEL_GEMM_REPLAY_H

#include "model/kernel/gemm_record.h"
#include "proto/base/arena.h"

typedef struct rn_gemm_replay {
  const rn_gemm_backend *table;
  rn_recorded_gemm *product; /* by groups */
  int64_t groups;
  int64_t *first; /* [groups + 1] of their products */
  rn_arena memory;
} rn_gemm_replay;

/** A replay of `record`, which it does not need afterwards. Errors: RN_ERR_MEMORY. */
rn_status rn_gemm_replay_create(rn_err *err, const rn_gemm_record *record, rn_gemm_replay *out);
void rn_gemm_replay_destroy(rn_gemm_replay *replay);

/** Makes all products, on memory of the replay's own. */
void rn_gemm_replay_run(const rn_gemm_replay *replay);

#endif
