/** Workspace allocated once and handed out by moving a mark: no allocation inside a step. */
#ifndef RN_PROTO_BASE_ARENA_H
#define RN_PROTO_BASE_ARENA_H

#include <stddef.h>

#include "proto/base/status.h"

/**
 * How memory is divided among the threads that touch it first: the kernel takes a page from the
 * memory of the socket whose thread touches it first. RN_TOUCH_RANGES gives each thread one range,
 * as loops over a flat array are cut. RN_TOUCH_PAGES gives the threads pages in turn, so that each
 * of the arrays that share an arena spreads over the memory of all sockets.
 */
typedef enum { RN_TOUCH_RANGES, RN_TOUCH_PAGES } rn_touch;

/** Sets memory to zero with several threads; `page` is the size of a page. */
typedef void rn_zero(rn_touch touch, char *memory, size_t bytes, size_t page);

/**
 * Sets the function that zeroes large allocations (1 MiB or more) of the calling thread; NULL, the
 * default: the thread zeroes them itself. Arenas are touched as RN_TOUCH_PAGES, other memory as
 * RN_TOUCH_RANGES.
 */
void rn_arena_zero_by(rn_zero *zero);

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
