/**
 * Places buffers in one block of memory. Buffers that are live at the same time do not overlap.
 *
 * Lifetimes are sets of phases, of which there are at most 64. Buffers are placed by decreasing
 * size, each into the smallest sufficient gap between the buffers that it must not overlap. The
 * result depends only on the list of buffers.
 */
#ifndef RN_MODEL_MEMORY_PLACEMENT_H
#define RN_MODEL_MEMORY_PLACEMENT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/** A set of phases: bit p is phase p. */
typedef uint64_t rn_phase_set;

/** Returns the set of phases first .. last, inclusive. */
static inline rn_phase_set rn_phase_range(int first, int last) {
  assert(0 <= first && first <= last && last < 64);
  return (UINT64_MAX >> (63 - (last - first))) << first;
}

/** A buffer to place. A buffer that is never live takes no memory. */
typedef struct rn_buffer {
  const char *name; /* not owned */
  size_t bytes;
  rn_phase_set live;
  size_t offset; /* output */
} rn_buffer;

enum { RN_PLACEMENT_MAX = 64 };

/**
 * Sets the offsets of at most RN_PLACEMENT_MAX buffers and returns the bytes of memory that they
 * need. If all sizes are multiples of some alignment, so are all offsets.
 */
size_t rn_place_buffers(rn_buffer *buffer, int count);

#endif
