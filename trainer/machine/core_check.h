/** Cores for threads: what a launcher gives to too few cores is told at start, with the mend. */
#ifndef RN_TRAINER_MACHINE_CORE_CHECK_H
#define RN_TRAINER_MACHINE_CORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/cores.h"

/**
 * What is wrong with ranks of `threads` threads on these cores, and what to do: into text [bytes].
 * `given`: that number was asked for. False where nothing is.
 */
bool rn_core_check_find(rn_cores cores, int threads, bool given, char *text, size_t bytes);

/** Warns of it, once a process. `asked`: parallel.threads. */
void rn_core_check(rn_cores cores, int asked);

#endif
