#include "comm/optimizer/gradient_marks.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

typedef enum { COMPLETE, READ, MARKS } mark_kind;

/* One mark of one rank: a count of buckets. Each mark has its own cache line. */
typedef struct mark {
  _Alignas(64) _Atomic int64_t buckets;
} mark;
static_assert(MARKS * sizeof(mark) <= RN_PEER_MARKS_BYTES,
              "all marks of a rank fit into the area for marks");

static void set(const rn_peer_memory *peers, mark_kind kind, int64_t count) {
  if (peers == NULL) return;
  mark *own = rn_peer_memory_own_marks(peers);
  atomic_store_explicit(&own[kind].buckets, count, memory_order_release);
}

/* True if the mark of this kind is at least `count` on all ranks of the node. */
static bool all_have(const rn_peer_memory *peers, mark_kind kind, int64_t count) {
  for (int i = 0; peers != NULL && i < rn_peer_memory_replicas(peers); i++) {
    if (rn_peer_memory_of(peers, i) == NULL) continue; /* on another node */
    const mark *marks = rn_peer_memory_marks_of(peers, i);
    if (atomic_load_explicit(&marks[kind].buckets, memory_order_acquire) < count) return false;
  }
  return true;
}

void rn_gradient_mark_complete(const rn_peer_memory *peers, int64_t count) {
  set(peers, COMPLETE, count);
}

void rn_gradient_mark_read(const rn_peer_memory *peers, int64_t count) {
  set(peers, READ, count);
}

bool rn_gradient_peers_have_completed(const rn_peer_memory *peers, int64_t count) {
  return all_have(peers, COMPLETE, count);
}

bool rn_gradient_peers_have_read(const rn_peer_memory *peers, int64_t count) {
  return all_have(peers, READ, count);
}
