/**
 * The cores of this process: those that its launcher allows, those that its computing threads are
 * bound to, and those left for its other threads.
 *
 * The launcher's mask is read before any library starts: if OMP_PROC_BIND is set, OpenMP narrows
 * the mask of the main thread at start, and every thread inherits the mask of its creator.
 *
 * A core here is what Linux calls a CPU: one hardware thread of a physical core.
 */
#ifndef RN_PROTO_BASE_AFFINITY_H
#define RN_PROTO_BASE_AFFINITY_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/** The most cores that a Linux kernel supports. */
enum { RN_MASK_CORES = 8192, RN_MASK_BYTES = RN_MASK_CORES / 8 };

/** A set of cores; usable as a cpu_set_t of RN_MASK_BYTES. */
typedef struct rn_mask {
  cpu_set_t set[RN_MASK_BYTES / sizeof(cpu_set_t)];
} rn_mask;

/** Sets of cores: membership, adding a core, size, whether two have a core in common. */
bool rn_mask_has(const rn_mask *mask, int core);
void rn_mask_add(rn_mask *mask, int core);
int rn_mask_count(const rn_mask *mask);
bool rn_mask_overlaps(const rn_mask *a, const rn_mask *b);

/** Writes the cores as a list, "0-3,8", truncated to `bytes`. */
void rn_mask_text(const rn_mask *mask, char *text, size_t bytes);

/** Reads the mask that this process was started with. Returns false and sets errno if it cannot be
 * read. */
bool rn_affinity_launcher(rn_mask *out);

/** Records the calling thread's mask as the launcher's; runs automatically before main. */
void rn_affinity_remember(void);

/** Sets the calling thread's mask back to the launcher's, for example before an exec. */
void rn_affinity_restore(void);

/**
 * Assigns each of `threads` threads its own core of `mask`: the core that it runs on if that is
 * free, else one on a physical core without another thread, else any free one.
 *
 * Shapes: running, core [threads]; sibling [RN_MASK_CORES]: the lowest-numbered core of the same
 * physical core. Pure function. Returns false if the mask has fewer cores than threads.
 */
bool rn_affinity_assign(const rn_mask *mask, const int *sibling, const int *running, int threads,
                        int *core);

/** Returns the folder in which the kernel describes its hardware threads. Tests replace it, by the
 * environment variable RETNET_CPU_FOLDER. */
const char *rn_affinity_folder(void);

/**
 * Reads the siblings of the cores of `mask` for rn_affinity_assign, from the files
 * cpu<N>/topology/thread_siblings_list of `folder`. A core of unknown topology is its own sibling.
 */
void rn_affinity_siblings(const char *folder, const rn_mask *mask,
                          int *sibling /* [RN_MASK_CORES] */);

/** Returns the number of physical cores that have a hardware thread in `mask`. Pure function. */
int rn_affinity_physical(const rn_mask *mask, const int *sibling);

/**
 * Returns part `index` of the `parts` parts of `mask`: all hardware threads, in `mask`, of a share
 * of its physical cores. Empty if there are fewer physical cores than parts. Pure function.
 */
rn_mask rn_affinity_divide(const rn_mask *mask, const int *sibling, int parts, int index);

/** Declares that these cores belong to computing threads from now on; NULL: no cores do. */
void rn_affinity_claim(const rn_mask *cores);

/**
 * pthread_create for a thread that does not compute: it runs on the launcher's cores that no
 * computing thread is bound to, or on all of them if none is left. All signals are blocked in it:
 * only the main thread handles them.
 */
int rn_thread_create(pthread_t *thread, void *(*start)(void *), void *argument);

#endif
