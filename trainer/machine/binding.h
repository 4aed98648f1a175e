/** Binding of a rank's threads to cores, one each: decided once and reported at start. */
#ifndef RN_TRAINER_MACHINE_BINDING_H
#define RN_TRAINER_MACHINE_BINDING_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/cores.h"

/**
 * Whether to bind `threads` threads to `cores`; if not, writes the reason into why [bytes]. Threads
 * are bound unless an OpenMP variable sets placement (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY,
 * KMP_AFFINITY), several ranks share the cores, there are fewer cores than threads, or there is
 * only one thread, which the system places equally well.
 */
bool rn_binding_find(rn_cores cores, int threads, char *why, size_t bytes);

/** Decides for this process and the threads that it starts afterwards; later calls do nothing. */
void rn_binding_decide(rn_cores cores, int threads);

/** Lets the next rn_binding_decide decide anew, for measurements with several numbers of threads.
 */
void rn_binding_reset(void);

/** Writes "bound to cores 0-7", or why threads are not bound, into text [bytes]. */
void rn_binding_describe(char *text, size_t bytes);

#endif
