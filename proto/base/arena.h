/** Workspace allocated once and handed out by moving a mark: no allocation inside a step. */
#ifndef RN_PROTO_BASE_ARENA_H
#define RN_PROTO_BASE_ARENA_H

#include <stddef.h>

#include "proto/base/status.h"

/** One block of zeroed, 64-byte aligned memory; `used` is the mark. */
typedef struct rn_arena {
  char *base;
  size_t size_bytes;
  size_t used_bytes;
  size_t peak_bytes;
} rn_arena;

/** Allocates `size_bytes`, which the arena owns until destroy. Errors: RN_ERR_MEMORY. */
rn_status rn_arena_create(rn_err *err, size_t size_bytes, rn_arena *out);

/** Frees the memory; accepts a zeroed arena too. */
void rn_arena_destroy(rn_arena *arena);

/** Returns the bytes that rn_arena_take(bytes) uses, including padding; for computing the size of
 * an arena. */
size_t rn_arena_round(size_t bytes);

/** Returns the next `bytes` of the arena; exceeding the size of the arena is a bug (assert). */
void *rn_arena_take(rn_arena *arena, size_t bytes);

/** calloc for long-lived objects; `what` names the object in the error. Errors: RN_ERR_MEMORY. */
rn_status rn_alloc(rn_err *err, const char *what, size_t count, size_t bytes_each, void *out);

#endif
