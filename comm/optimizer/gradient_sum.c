#include "comm/optimizer/gradient_sum.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "proto/base/fault.h"

enum { SUM_BLOCK = 4096 }; /* elements summed at a time */

/* The marks of a rank; each has a cache line of its own. */
typedef struct marks {
  _Alignas(64) _Atomic int64_t complete;
  _Alignas(64) _Atomic int64_t read;
} marks;
static_assert(sizeof(marks) <= RN_PEER_MARKS_BYTES, "the marks fit");

size_t rn_reduce_kind_bytes(rn_reduce_kind kind) {
  return kind == RN_REDUCE_EXACT ? sizeof(int64_t) : sizeof(float);
}

static void add_floats(bool first, int64_t count, const float *addend, float *sum) {
  for (int64_t j = 0; j < count; j++) sum[j] = first ? addend[j] : sum[j] + addend[j];
}

static void add_integers(bool first, int64_t count, const int64_t *addend, int64_t *sum) {
  for (int64_t j = 0; j < count; j++) sum[j] = first ? addend[j] : sum[j] + addend[j];
}

void rn_gradient_sum(rn_reduce_kind kind, int64_t count, const char *const *addend, int addends,
                     char *sum) {
  const int begin = addend[0] == sum ? 1 : 0;
  (void)rn_fault_now("reduce_scatter.sum"); /* only kinds that delay this rank */
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < count; at += SUM_BLOCK) {
    const int64_t left = count - at, block = left < SUM_BLOCK ? left : SUM_BLOCK;
    const size_t here = (size_t)at * rn_reduce_kind_bytes(kind);
    for (int i = begin; i < addends; i++) {
      if (kind == RN_REDUCE_EXACT) {
        add_integers(i == 0, block, (const int64_t *)(const void *)(addend[i] + here),
                     (int64_t *)(void *)(sum + here));
      } else {
        add_floats(i == 0, block, (const float *)(const void *)(addend[i] + here),
                   (float *)(void *)(sum + here));
      }
    }
  }
}

void rn_gradient_mark_complete(const rn_peer_memory *peers, int64_t count) {
  if (peers == NULL) return;
  marks *own = rn_peer_memory_own_marks(peers);
  atomic_store_explicit(&own->complete, count, memory_order_release);
}

void rn_gradient_mark_read(const rn_peer_memory *peers, int64_t count) {
  if (peers == NULL) return;
  marks *own = rn_peer_memory_own_marks(peers);
  atomic_store_explicit(&own->read, count, memory_order_release);
}

/* Returns the marks of a replica, or NULL if it is on another node. */
static const marks *marks_of(const rn_peer_memory *peers, int replica) {
  if (rn_peer_memory_of(peers, replica) == NULL) return NULL;
  return rn_peer_memory_marks_of(peers, replica);
}

bool rn_gradient_peers_have_completed(const rn_peer_memory *peers, int64_t count) {
  for (int i = 0; peers != NULL && i < rn_peer_memory_replicas(peers); i++) {
    const marks *m = marks_of(peers, i);
    if (m == NULL) continue;
    if (atomic_load_explicit(&m->complete, memory_order_acquire) < count) return false;
  }
  return true;
}

bool rn_gradient_peers_have_read(const rn_peer_memory *peers, int64_t count) {
  for (int i = 0; peers != NULL && i < rn_peer_memory_replicas(peers); i++) {
    const marks *m = marks_of(peers, i);
    if (m == NULL) continue;
    if (atomic_load_explicit(&m->read, memory_order_acquire) < count) return false;
  }
  return true;
}
