/**
 * Binds a rank's threads to cores, one thread per physical core if there are enough. The binding is
 * decided once and reported when the program starts.
 */
#ifndef RN_TRAINER_MACHINE_BINDING_H
#define RN_TRAINER_MACHINE_BINDING_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/world/cores.h"

/**
 * Returns true if `threads` threads should be bound to `cores`; otherwise writes the reason into
 * why [bytes]. Threads are bound unless an OpenMP variable sets placement (OMP_PROC_BIND,
 * OMP_PLACES, GOMP_CPU_AFFINITY, KMP_AFFINITY), there are fewer hardware threads than threads of
 * all ranks that share the cores, or there is only one thread, which the operating system places
 * equally well. Ranks with the same mask bind their threads to equal shares of the mask
 * (rn_cores.own); ranks whose masks overlap only in part do not bind their threads.
 */
bool rn_binding_find(rn_cores cores, int threads, char *why, size_t bytes);

/**
 * Decides whether and to which cores this process binds its threads. The decision takes effect in
 * the next rn_threads_start (model/base/threads.h). Later calls do nothing.
 */
void rn_binding_decide(rn_cores cores, int threads);

/**
 * Allows the next call of rn_binding_decide to decide again, for measurements with several thread
 * counts.
 */
void rn_binding_reset(void);

/**
 * Writes "bound to cores 0-7", or the reason why threads are not bound, into text [bytes]; also
 * whether threads share physical cores if these have several hardware threads.
 */
void rn_binding_describe(char *text, size_t bytes);

#endif
