/**
 * Allocates arrays in separate pages, which are protected unless they have been opened. An access
 * to a protected page ends the process with a message that names the array and the element.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_PAGES_H
#define RN_TESTS_SUPPORT_GUARDED_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/stage/stage.h"
#include "proto/base/range.h"

/** Exit status of a process that accessed a protected page or misused a function of this header. */
enum { GUARDED_EXIT_STATUS = 86 };

typedef struct guarded_array {
  const char *name;
  char *base;
  size_t bytes, element_bytes; /* whole pages */
  int64_t count;               /* elements */
  bool private_to_mappings;    /* guarded_open_all does not open it */
  bool open;                   /* opened by guarded_open_all */
  int *readers, *writers;      /* [pages] number of mappings that are in effect */
  struct guarded_array *next;
} guarded_array;

/** A list of arrays that are opened and closed together. */
typedef struct guarded_set {
  guarded_array *first;
} guarded_set;

/** Adds a protected array of zeros; `name` must outlive it. Aborts if there is no memory. */
guarded_array *guarded_add(guarded_set *set, const char *name, int64_t count, size_t element_bytes);
/**
 * Frees the array and sets *array to NULL; ends the process if the array is still mapped. *array
 * may be NULL.
 */
void guarded_remove(guarded_set *set, guarded_array **array);

/**
 * guarded_open_all unprotects all arrays of the set for the owner's computation. guarded_close_all
 * protects them again, except the pages that guarded_map has opened and guarded_unmap has not
 * closed yet.
 */
void guarded_open_all(guarded_set *set);
void guarded_close_all(guarded_set *set);

/**
 * Opens the pages of a range until guarded_unmap is called. With READ the pages are read-only. With
 * WRITE the range is filled with NaN, so that an element changes the results if it is never
 * written, or is read before it is written. Ends the process if the range is not in the array, or
 * if guarded_unmap is called without a matching guarded_map.
 */
void *guarded_map(guarded_array *array, rn_range range, rn_access access);
void guarded_unmap(guarded_array *array, rn_range range, rn_access access);

#endif
