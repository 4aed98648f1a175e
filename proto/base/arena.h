/** Work memory taken once and handed out by moving a mark: no allocation inside a step. */
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

/** Takes `size_bytes`; the arena owns it until destroy. Errors: RN_ERR_MEMORY. */
rn_status rn_arena_create(rn_err *err, size_t size_bytes, rn_arena *out);

/** Gives the memory back; takes a zeroed arena too. */
void rn_arena_destroy(rn_arena *arena);

/** Bytes that a piece of `bytes` takes in an arena, padding included: for sizing. */
size_t rn_arena_round(size_t bytes);

/** The next `bytes`; asking for more than the arena was sized for is a bug. */
void *rn_arena_take(rn_arena *arena, size_t bytes);

/** The mark, and back to it: what was taken since is free again. */
size_t rn_arena_mark(const rn_arena *arena);
void rn_arena_release(rn_arena *arena, size_t mark);

/** calloc for long-lived objects with the error named: what, how much. */
rn_status rn_alloc(rn_err *err, const char *what, size_t count, size_t bytes_each, void *out);

#endif
