/** Checks at start whether each rank has enough cores for its threads; if not, suggests a fix. */
#ifndef RN_TRAINER_MACHINE_CORE_CHECK_H
#define RN_TRAINER_MACHINE_CORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/cores.h"

/**
 * Checks that ranks with `threads` threads have enough of `cores`, and that no cores are left idle.
 * If the check fails, returns true and writes the problem and its fix into text [bytes]. `given` is
 * true if the user has set the number of threads.
 */
bool rn_core_check_find(rn_cores cores, int threads, bool given, char *text, size_t bytes);

/**
 * Prints the text of rn_core_check_find as a warning. Also warns if OMP_NUM_THREADS is set but not
 * used. Each warning is printed once per process. `asked` is the value of parallel.threads.
 */
void rn_core_check(rn_cores cores, int asked);

#endif
