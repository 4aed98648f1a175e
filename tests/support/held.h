/*
 * Records which descriptors, mappings and MPI objects a program holds (tests/support/inject.c).
 * Those that it still holds when it ends in order are leaks. Sanitizers see only memory.
 */
#ifndef RN_TESTS_SUPPORT_HELD_H
#define RN_TESTS_SUPPORT_HELD_H

#include <stdint.h>

typedef enum held_kind {
  HELD_DESCRIPTOR,
  HELD_MAPPING,
  HELD_COMMUNICATOR,
  HELD_WINDOW,
  HELD_TYPE,
  HELD_OPERATION,
  HELD_REQUEST
} held_kind;

/* `place` is the address in the program that called `function`. */
void held_add(held_kind kind, uintptr_t handle, const char *function, uintptr_t place);
void held_remove(held_kind kind, uintptr_t handle);

/* Prints a line "leak: ..." to standard error for each thing that is held. */
void held_report(int rank);

#endif
