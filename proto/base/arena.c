#include "proto/base/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/base/fault.h"
#include "proto/base/progress.h"

enum { ALIGNMENT_BYTES = 64, HUGE_PAGE_BYTES = 2 << 20, LARGE_BYTES = 16 << 20 };
enum { PAGE_BYTES = 1 << 16, SHARED_BYTES = 1 << 20 };

static _Thread_local rn_zero *zero_by;

void rn_arena_zero_by(rn_zero *zero) {
  zero_by = zero;
}

size_t rn_arena_round(size_t bytes) {
  return (bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
}

/*
 * Allocates zeroed memory, in huge pages if it is large. Matrix products read blocks of columns;
 * with small pages, every row of such a block would need a separate TLB entry.
 */
static void *take_zeroed(size_t bytes, rn_touch touch) {
  const bool huge = bytes >= LARGE_BYTES;
  void *memory = NULL;
  if (posix_memalign(&memory, huge ? HUGE_PAGE_BYTES : ALIGNMENT_BYTES, bytes) != 0) return NULL;
  if (huge) madvise(memory, bytes, MADV_HUGEPAGE);
  if (zero_by != NULL && bytes >= SHARED_BYTES) {
    zero_by(touch, memory, bytes, huge && touch == RN_TOUCH_PAGES ? HUGE_PAGE_BYTES : PAGE_BYTES);
  } else {
    memset(memory, 0, bytes);
  }
  rn_progress_unit();
  return memory;
}

rn_status rn_arena_create(rn_err *err, size_t size_bytes, rn_arena *out) {
  *out = (rn_arena){0};
  size_t rounded = rn_arena_round(size_bytes > 0 ? size_bytes : 1);
  out->base = take_zeroed(rounded, RN_TOUCH_PAGES);
  if (out->base == NULL) {
    return rn_fail(
        err, RN_ERR_MEMORY,
        "cannot allocate %zu MiB of memory; use more ranks, a smaller parallel.microbatch, or "
        "shorter sequences (data.sequence_length, --sequence-length)",
        rounded >> 20);
  }
  out->size_bytes = rounded;
  return RN_OK;
}

void rn_arena_destroy(rn_arena *arena) {
  free(arena->base);
  *arena = (rn_arena){0};
}

void *rn_arena_take(rn_arena *arena, size_t bytes) {
  assert(arena->used_bytes + rn_arena_round(bytes) <= arena->size_bytes);
  void *piece = arena->base + arena->used_bytes;
  arena->used_bytes += rn_arena_round(bytes);
  if (arena->used_bytes > arena->peak_bytes) arena->peak_bytes = arena->used_bytes;
  return piece;
}

rn_status rn_alloc(rn_err *err, const char *what, size_t count, size_t bytes_each, void *out) {
  size_t bytes;
  const bool fits = !__builtin_mul_overflow(count > 0 ? count : 1, bytes_each, &bytes);
  void *memory = fits && !rn_fault_now("alloc") ? take_zeroed(bytes, RN_TOUCH_RANGES) : NULL;
  memcpy(out, &memory, sizeof memory);
  if (memory != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory: %s: cannot allocate %zu x %zu bytes", what,
                 count, bytes_each);
}

rn_status rn_grow(rn_err *err, const char *what, size_t count, size_t bytes_each, void *array,
                  size_t *capacity) {
  enum { FIRST = 64 };
  void *memory;
  size_t elements = *capacity, bytes = 0;
  if (count <= elements) return RN_OK;
  if (elements == 0) elements = FIRST;
  while (elements < count && elements <= SIZE_MAX / 2) elements *= 2;
  const bool fits = elements >= count && !__builtin_mul_overflow(elements, bytes_each, &bytes);
  memcpy(&memory, array, sizeof memory);
  memory = fits && !rn_fault_now("alloc") ? realloc(memory, bytes) : NULL;
  if (memory == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory: %s: cannot allocate %zu x %zu bytes", what,
                   elements, bytes_each);
  }
  memcpy(array, &memory, sizeof memory);
  *capacity = elements;
  return RN_OK;
}
