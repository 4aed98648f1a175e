/** Makes the tasks of attention's backward add their contributions to dq in a fixed order. */
#ifndef RN_MODEL_ATTENTION_ATTENTION_PROGRESS_H
#define RN_MODEL_ATTENTION_ATTENTION_PROGRESS_H

#include <sched.h>
#include <stdatomic.h>

/** The progress of the task of one block of keys. The task processes blocks of queries in
 * descending order. It has added its contribution to dq for all blocks of queries with index >=
 * `passed`. */
typedef struct rn_attention_progress {
  atomic_int passed;
} rn_attention_progress;

/** Waits until `task` has added its contribution to dq for the block of queries with index
 * `queries`. `task` must already be running. */
static inline void rn_attention_wait(rn_attention_progress *task, int queries) {
  enum { SPINS = 1000 };
  for (int spins = 0; atomic_load_explicit(&task->passed, memory_order_acquire) > queries;
       spins++) {
    if (spins > SPINS) sched_yield();
  }
}

/** Reports that the calling task has added its contribution to dq for the block of queries with
 * index `queries`. */
static inline void rn_attention_pass(rn_attention_progress *task, int queries) {
  atomic_store_explicit(&task->passed, queries, memory_order_release);
}

#endif
