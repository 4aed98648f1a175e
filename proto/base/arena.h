/** An arena is a block of memory that is allocated once and from which arrays are then taken one
 * after the other, so that nothing is allocated within a step. */
#ifndef RN_PROTO_BASE_ARENA_H
#define RN_PROTO_BASE_ARENA_H

#include <stddef.h>

#include "proto/base/status.h"

/**
 * Selects which thread touches each page first. Linux places a page in the memory of the socket
 * whose thread touches it first. With RN_TOUCH_RANGES, each thread touches one contiguous range,
 * the same that it gets in a parallel loop over the array. With RN_TOUCH_PAGES, the threads take
 * turns page by page, so that each array in an arena is spread over the memory of all sockets.
 */
typedef enum { RN_TOUCH_RANGES, RN_TOUCH_PAGES } rn_touch;

/** Sets memory to zero with several threads; `page` is the size of a page. */
typedef void rn_zero(rn_touch touch, char *memory, size_t bytes, size_t page);

/**
 * Sets the function that zeroes the allocations of 1 MiB or more that the calling thread makes.
 * NULL, the default: the calling thread zeroes them itself. Arenas pass RN_TOUCH_PAGES to the
 * function, rn_alloc passes RN_TOUCH_RANGES.
 */
void rn_arena_zero_by(rn_zero *zero);

/** A block of zeroed, 64-byte aligned memory; the first `used_bytes` bytes have been taken. */
typedef struct rn_arena {
  char *base;
  size_t size_bytes;
  size_t used_bytes;
  size_t peak_bytes;
} rn_arena;

/** Allocates an arena of `size_bytes`. Errors: RN_ERR_MEMORY. */
rn_status rn_arena_create(rn_err *err, size_t size_bytes, rn_arena *out);

/** Frees the memory; accepts a zero-initialized arena. */
void rn_arena_destroy(rn_arena *arena);

/** Returns the number of bytes that rn_arena_take(bytes) uses, including padding. Used to compute
 * the size of an arena. */
size_t rn_arena_round(size_t bytes);

/** Returns the next `bytes` of the arena; exceeding the size of the arena is a bug (assert). */
void *rn_arena_take(rn_arena *arena, size_t bytes);

/** Allocates zeroed memory for a long-lived object; error messages name the object as `what`.
 * Errors: RN_ERR_MEMORY. */
rn_status rn_alloc(rn_err *err, const char *what, size_t count, size_t bytes_each, void *out);

/**
 * Grows an array, whose capacity in elements is *capacity, so that it can hold at least `count`
 * elements. `array` is the address of the pointer, which is NULL or was returned by malloc; error
 * messages name the array as `what`. Errors: RN_ERR_MEMORY; the array is then unchanged.
 */
rn_status rn_grow(rn_err *err, const char *what, size_t count, size_t bytes_each, void *array,
                  size_t *capacity);

#endif
