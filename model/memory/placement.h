/**
 * Places buffers in one block of memory so that buffers that are live at the same time do not
 * overlap.
 *
 * Time is a list of at most 64 phases; a buffer is live in a set of them. The largest buffers are
 * placed first, each into the smallest gap that fits between the buffers with which it must not
 * overlap. The result depends on the list alone.
 */
#ifndef RN_MODEL_MEMORY_PLACEMENT_H
#define RN_MODEL_MEMORY_PLACEMENT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/** Bit p: phase p. */
typedef uint64_t rn_phase_set;

/** Phases first .. last, inclusive. */
static inline rn_phase_set rn_phase_range(int first, int last) {
  assert(0 <= first && first <= last && last < 64);
  return (UINT64_MAX >> (63 - (last - first))) << first;
}

/** A buffer; one that is never live takes no memory. */
typedef struct rn_buffer {
  const char *name; /* not owned */
  size_t bytes;
  rn_phase_set live;
  size_t offset; /* output */
} rn_buffer;

enum { RN_PLACEMENT_MAX = 64 };

/**
 * Sets the offsets of at most RN_PLACEMENT_MAX buffers and returns the bytes of memory needed. If
 * all sizes are multiples of an alignment, so are the offsets.
 */
size_t rn_place_buffers(rn_buffer *buffer, int count);

/** The largest number of bytes live in one phase: no placement needs less. */
size_t rn_live_bytes_max(const rn_buffer *buffer, int count);

#endif
