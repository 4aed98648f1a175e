/**
 * Arrays in separate pages, which are protected unless they have been opened. An access to a
 * protected page ends the process with a message that names the array and the element.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_PAGES_H
#define RN_TESTS_SUPPORT_GUARDED_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/stage/stage.h"
#include "proto/base/range.h"

/** Exit status of a process that touched a protected page, or misused a call below. */
enum { GUARDED_EXIT_STATUS = 86 };

typedef struct guarded_array {
  const char *name;
  char *base;
  size_t bytes, element_bytes; /* whole pages */
  int64_t count;               /* elements */
  bool private_to_mappings;    /* guarded_open_all does not open it */
  bool open;                   /* opened by guarded_open_all */
  int *readers, *writers;      /* [pages] mappings in force */
  struct guarded_array *next;
} guarded_array;

/** A list of arrays that open and close together. */
typedef struct guarded_set {
  guarded_array *first;
} guarded_set;

/** Adds a protected array of zeros; `name` must outlive it. Aborts without memory. */
guarded_array *guarded_add(guarded_set *set, const char *name, int64_t count, size_t element_bytes);
/** Frees the array; one that is still mapped ends the process. Takes NULL. */
void guarded_remove(guarded_set *set, guarded_array **array);

/** Opens all arrays for the owner's computation; closes them, except what is mapped. */
void guarded_open_all(guarded_set *set);
void guarded_close_all(guarded_set *set);

/**
 * Opens the pages of a range until guarded_unmap. With READ they cannot be written. WRITE fills the
 * range with NaN, so that an element that is never written, or is read before it is written,
 * changes the results. Ends the process if the range is not in the array, or if guarded_unmap is
 * called without a matching guarded_map.
 */
void *guarded_map(guarded_array *array, rn_range range, rn_access access);
void guarded_unmap(guarded_array *array, rn_range range, rn_access access);

#endif
