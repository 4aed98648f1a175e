/* Merges the bytes of a piece into tokens. The parts of the piece (bytes, and tokens merged so far)
 * form a linked list; each is identified by the position of its first byte. */
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/bpe_pair.h"

enum { FEW_BYTES = 48 }; /* up to this length, scanning for the lowest rank is faster than a heap */

void rn_bpe_work_free(rn_bpe_work *work) {
  free(work->id);
  free(work->next);
  free(work->prev);
  free(work->rank);
  free(work->heap);
  *work = (rn_bpe_work){0};
}

static rn_status out_of_memory(rn_err *err, size_t count) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while encoding a piece of %zu bytes", count);
}

static rn_status reserve(rn_err *err, rn_bpe_work *w, size_t count) {
  if (count <= w->capacity) return RN_OK;
  const size_t capacity = count < 1024 ? 1024 : count;
  rn_bpe_work grown = {.id = malloc(capacity * sizeof *w->id),
                       .next = malloc(capacity * sizeof *w->next),
                       .prev = malloc(capacity * sizeof *w->prev),
                       .rank = malloc(capacity * sizeof *w->rank),
                       .capacity = capacity};
  if (grown.id == NULL || grown.next == NULL || grown.prev == NULL || grown.rank == NULL) {
    rn_bpe_work_free(&grown);
    return out_of_memory(err, count);
  }
  rn_bpe_work old = *w;
  *w = grown;
  rn_bpe_work_free(&old);
  return RN_OK;
}

static uint32_t rank_of(const rn_bpe *bpe, int32_t left, int32_t right) {
  return bpe->pair[rn_bpe_pair_slot(bpe, left, right)].rank;
}

/* Sets the rank of the pair that begins at `at`; UINT32_MAX for the last part, which has no
 * successor. */
static void set_rank(const rn_bpe *bpe, rn_bpe_work *w, uint32_t at, uint32_t count) {
  const uint32_t next = w->next[at];
  w->rank[at] = next < count ? rank_of(bpe, w->id[at], w->id[next]) : RN_BPE_NO_RANK;
}

/* Joins the part at `at` and the next one, and sets the ranks of the pairs that change. */
static void merge(const rn_bpe *bpe, rn_bpe_work *w, uint32_t at, uint32_t count) {
  const uint32_t gone = w->next[at], next = w->next[gone];
  w->id[at] = bpe->pair[rn_bpe_pair_slot(bpe, w->id[at], w->id[gone])].id;
  w->rank[gone] = RN_BPE_NO_RANK;
  w->next[at] = next;
  if (next < count) w->prev[next] = at;
  set_rank(bpe, w, at, count);
  if (at > 0) set_rank(bpe, w, w->prev[at], count);
}

/* ---- few bytes ---- */

static void merge_by_scan(const rn_bpe *bpe, rn_bpe_work *w, uint32_t count) {
  for (;;) {
    uint32_t best = 0, lowest = RN_BPE_NO_RANK;
    for (uint32_t at = 0; at < count; at = w->next[at]) {
      if (w->rank[at] >= lowest) continue;
      lowest = w->rank[at];
      best = at;
    }
    if (lowest == RN_BPE_NO_RANK) return;
    merge(bpe, w, best, count);
  }
}

/* ---- many bytes: a binary heap of rank and position ---- */

static void sift_down(uint64_t *heap, size_t count, size_t at) {
  const uint64_t key = heap[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= key) break;
    heap[at] = heap[child];
  }
  heap[at] = key;
}

static void push(rn_bpe_work *w, uint32_t at) {
  if (w->rank[at] == RN_BPE_NO_RANK) return;
  const uint64_t key = (uint64_t)w->rank[at] << 32 | at;
  size_t i = w->heap_count++;
  for (; i > 0 && w->heap[(i - 1) / 2] > key; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
  w->heap[i] = key;
}

static uint64_t pop(rn_bpe_work *w) {
  const uint64_t top = w->heap[0];
  w->heap[0] = w->heap[--w->heap_count];
  if (w->heap_count > 0) sift_down(w->heap, w->heap_count, 0);
  return top;
}

/* Reserves 2 * count entries: each of the count - 1 merges removes one entry and adds at most two.
 */
static rn_status reserve_heap(rn_err *err, rn_bpe_work *w, size_t count) {
  if (2 * count <= w->heap_capacity) return RN_OK;
  free(w->heap);
  w->heap = malloc(2 * count * sizeof *w->heap);
  w->heap_capacity = w->heap != NULL ? 2 * count : 0;
  return w->heap != NULL ? RN_OK : out_of_memory(err, count);
}

/* Merges with a heap. An entry is stale if the pair that begins at its position now has a different
 * rank. */
static rn_status merge_by_heap(rn_err *err, const rn_bpe *bpe, rn_bpe_work *w, uint32_t count) {
  RN_TRY(err, reserve_heap(err, w, count));
  w->heap_count = 0;
  for (uint32_t at = 0; at < count; at++) {
    if (w->rank[at] != RN_BPE_NO_RANK) {
      w->heap[w->heap_count++] = (uint64_t)w->rank[at] << 32 | at;
    }
  }
  for (size_t i = w->heap_count / 2; i-- > 0;) sift_down(w->heap, w->heap_count, i);
  while (w->heap_count > 0) {
    const uint64_t top = pop(w);
    const uint32_t at = (uint32_t)top;
    if (w->rank[at] != (uint32_t)(top >> 32)) continue;
    merge(bpe, w, at, count);
    push(w, at);
    if (at > 0) push(w, w->prev[at]);
  }
  return RN_OK;
}

static rn_status take_parts(rn_err *err, const rn_bpe_work *w, uint32_t count, rn_tokens *tokens) {
  for (uint32_t at = 0; at < count; at = w->next[at]) {
    RN_TRY(err, rn_tokens_add(err, tokens, w->id[at], w->next[at] - at));
  }
  return RN_OK;
}

rn_status rn_bpe_encode(rn_err *err, const rn_bpe *bpe, rn_bpe_work *w, const unsigned char *piece,
                        size_t count, rn_tokens *tokens) {
  const int32_t whole = bpe->whole_first || count == 1 ? rn_bpe_find(bpe, piece, count) : -1;
  if (whole >= 0) return rn_tokens_add(err, tokens, whole, (uint32_t)count);
  if (count > UINT32_MAX / 4) {
    return rn_fail(err, RN_ERR_USAGE,
                   "a stretch of %zu bytes of text without a word boundary is too long to encode",
                   count);
  }
  RN_TRY(err, reserve(err, w, count));
  const uint32_t n = (uint32_t)count;
  for (uint32_t at = 0; at < n; at++) {
    w->id[at] = bpe->byte_id[piece[at]];
    w->next[at] = at + 1;
    w->prev[at] = at > 0 ? at - 1 : 0;
  }
  for (uint32_t at = 0; at < n; at++) set_rank(bpe, w, at, n);
  if (n <= FEW_BYTES) {
    merge_by_scan(bpe, w, n);
  } else {
    RN_TRY(err, merge_by_heap(err, bpe, w, n));
  }
  return take_parts(err, w, n, tokens);
}
