#include "model/memory/placement.h"

/* Fills order[count] with the indices of the buffers, sorted by decreasing size. The sort is
 * stable. */
static void sort_by_size(const rn_buffer *buffer, int count, int *order) {
  for (int i = 0; i < count; i++) {
    int at = i;
    for (; at > 0 && buffer[order[at - 1]].bytes < buffer[i].bytes; at--) order[at] = order[at - 1];
    order[at] = i;
  }
}

/* Returns the buffer with the lowest offset among those of order[0, placed) that are live at the
 * same time as `b` and end after byte `from`; -1 if there is none. */
static int next_conflict(const rn_buffer *buffer, const int *order, int placed, const rn_buffer *b,
                         size_t from) {
  int found = -1;
  for (int i = 0; i < placed; i++) {
    const rn_buffer *other = &buffer[order[i]];
    if ((other->live & b->live) == 0 || other->offset + other->bytes <= from) continue;
    if (found < 0 || other->offset < buffer[found].offset) found = order[i];
  }
  return found;
}

/* Returns the offset of the smallest gap that fits `b`; if no gap fits, the end of the last
 * conflicting buffer. */
static size_t best_offset(const rn_buffer *buffer, const int *order, int placed,
                          const rn_buffer *b) {
  size_t from = 0, best = 0, best_gap = SIZE_MAX;
  for (int next; (next = next_conflict(buffer, order, placed, b, from)) >= 0;) {
    const rn_buffer *other = &buffer[next];
    const size_t gap = other->offset > from ? other->offset - from : 0;
    if (gap >= b->bytes && gap < best_gap) best = from, best_gap = gap;
    from = other->offset + other->bytes;
  }
  return best_gap == SIZE_MAX ? from : best;
}

size_t rn_place_buffers(rn_buffer *buffer, int count) {
  int order[RN_PLACEMENT_MAX];
  size_t end = 0;
  assert(0 <= count && count <= RN_PLACEMENT_MAX);
  sort_by_size(buffer, count, order);
  for (int i = 0; i < count; i++) {
    rn_buffer *b = &buffer[order[i]];
    if (b->live == 0) continue;
    b->offset = best_offset(buffer, order, i, b);
    if (b->offset + b->bytes > end) end = b->offset + b->bytes;
  }
  return end;
}
