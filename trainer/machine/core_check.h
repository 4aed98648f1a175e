/** Checks at start that each rank has enough cores for its threads, and suggests a fix if not. */
#ifndef RN_TRAINER_MACHINE_CORE_CHECK_H
#define RN_TRAINER_MACHINE_CORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/cores.h"

/**
 * Writes into text [bytes] what is wrong with ranks of `threads` threads on `cores`, and how to fix
 * it. `given`: the user set the number of threads. Returns false if nothing is wrong.
 */
bool rn_core_check_find(rn_cores cores, int threads, bool given, char *text, size_t bytes);

/** Prints that text as a warning, once per process. `asked`: parallel.threads. */
void rn_core_check(rn_cores cores, int asked);

#endif
