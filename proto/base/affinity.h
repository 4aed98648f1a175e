/**
 * Manages the cores of this process: the cores that the launcher allows, the cores to which compute
 * threads are bound, and the cores that are left for other threads.
 *
 * The launcher's mask is read before any library is initialized. This is necessary because, if
 * OMP_PROC_BIND is set, OpenMP reduces the mask of the main thread at its initialization, and every
 * thread inherits the mask of the thread that creates it.
 *
 * In this file, a core is what Linux calls a CPU: one hardware thread of a physical core.
 */
#ifndef RN_PROTO_BASE_AFFINITY_H
#define RN_PROTO_BASE_AFFINITY_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/** The maximum number of cores that a Linux kernel supports. */
enum { RN_MASK_CORES = 8192, RN_MASK_BYTES = RN_MASK_CORES / 8 };

/** A set of cores; `set` can be used as a cpu_set_t of RN_MASK_BYTES bytes. */
typedef struct rn_mask {
  cpu_set_t set[RN_MASK_BYTES / sizeof(cpu_set_t)];
} rn_mask;

/** Operations on sets: test for a core, add a core, count the cores, test whether two sets have a
 * core in common. */
bool rn_mask_has(const rn_mask *mask, int core);
void rn_mask_add(rn_mask *mask, int core);
int rn_mask_count(const rn_mask *mask);
bool rn_mask_overlaps(const rn_mask *a, const rn_mask *b);

/** Writes the cores as a list like "0-3,8", truncated to `bytes`. */
void rn_mask_text(const rn_mask *mask, char *text, size_t bytes);

/** Gets the mask with which this process was started. Returns false and sets errno if the mask
 * could not be read. */
bool rn_affinity_launcher(rn_mask *out);

/** Records the calling thread's mask as the launcher's; runs automatically before main. */
void rn_affinity_remember(void);

/** Resets the calling thread's mask to the launcher's, for example before an exec. */
void rn_affinity_restore(void);

/**
 * Assigns each of `threads` threads a different core of `mask`. In order of preference: the core on
 * which the thread runs, a core whose physical core has no other thread, any free core.
 *
 * Shapes: running, core [threads]; sibling [RN_MASK_CORES]: for each core, the lowest-numbered core
 * of the same physical core. Pure function. Returns false if the mask has fewer cores than threads.
 */
bool rn_affinity_assign(const rn_mask *mask, const int *sibling, const int *running, int threads,
                        int *core);

/** Returns the folder in which Linux describes the cores. Tests replace it with the environment
 * variable RETNET_CPU_FOLDER. */
const char *rn_affinity_folder(void);

/**
 * Reads the siblings of the cores of `mask` for rn_affinity_assign, from the files
 * cpu<N>/topology/thread_siblings_list of `folder`. If the topology of a core is unknown,
 * sibling[core] = core.
 */
void rn_affinity_siblings(const char *folder, const rn_mask *mask,
                          int *sibling /* [RN_MASK_CORES] */);

/** Returns the number of physical cores that have a hardware thread in `mask`. Pure function. */
int rn_affinity_physical(const rn_mask *mask, const int *sibling);

/**
 * Divides the physical cores of `mask` into `parts` nearly equal parts and returns the cores of
 * `mask` that are in part `index`. Returns an empty set if there are fewer physical cores than
 * parts. Pure function.
 */
rn_mask rn_affinity_divide(const rn_mask *mask, const int *sibling, int parts, int index);

/** Declares that compute threads are bound to these cores from now on. NULL: they are not bound to
 * any cores. */
void rn_affinity_claim(const rn_mask *cores);

/**
 * Calls pthread_create for a thread that does not compute. The thread runs on those of the
 * launcher's cores to which no compute thread is bound, or on all of the launcher's cores if none
 * is left. All signals are blocked in the thread, because only the main thread handles signals.
 */
int rn_thread_create(pthread_t *thread, void *(*start)(void *), void *argument);

#endif
