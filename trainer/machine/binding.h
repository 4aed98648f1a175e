/** Whether the threads of a rank are bound to cores, one each: decided once, told at start. */
#ifndef RN_TRAINER_MACHINE_BINDING_H
#define RN_TRAINER_MACHINE_BINDING_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/cores.h"

/**
 * Whether `threads` threads are bound on such cores; if not, `why` [bytes] says so. They are, but
 * for: a variable of OpenMP's own that says something of places (OMP_PROC_BIND, OMP_PLACES,
 * GOMP_CPU_AFFINITY, KMP_AFFINITY), ranks that share these cores, fewer cores than threads, and a
 * thread alone, which the system places as well.
 */
bool rn_binding_find(rn_cores cores, int threads, char *why, size_t bytes);

/** Decides for this process, the first time; threads that are started afterwards follow. */
void rn_binding_decide(rn_cores cores, int threads);

/** "bound to cores 0-7", or why they are not: into text [bytes]. */
void rn_binding_describe(char *text, size_t bytes);

#endif
