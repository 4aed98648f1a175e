#include "proto/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_BYTES = 64 };

size_t rn_arena_round(size_t bytes) {
  return (bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
}

rn_status rn_arena_create(rn_err *err, size_t size_bytes, rn_arena *out) {
  *out = (rn_arena){0};
  size_t rounded = rn_arena_round(size_bytes > 0 ? size_bytes : 1);
  out->base = aligned_alloc(ALIGNMENT_BYTES, rounded);
  if (out->base == NULL) {
    return rn_fail(err, RN_ERR_MEMORY,
                   "work memory of %zu MiB is not to be had; use more ranks, a smaller "
                   "parallel.microbatch or a shorter data.sequence_length",
                   rounded >> 20);
  }
  memset(out->base, 0, rounded);
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

size_t rn_arena_mark(const rn_arena *arena) {
  return arena->used_bytes;
}

void rn_arena_release(rn_arena *arena, size_t mark) {
  assert(mark <= arena->used_bytes);
  arena->used_bytes = mark;
}

rn_status rn_alloc(rn_err *err, const char *what, size_t count, size_t bytes_each, void *out) {
  void *memory = calloc(count > 0 ? count : 1, bytes_each);
  memcpy(out, &memory, sizeof memory);
  if (memory != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "%s: no memory for %zu x %zu bytes", what, count, bytes_each);
}
