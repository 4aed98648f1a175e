/**
 * The cores of this process: those that its launcher left it, those that its computing threads are
 * bound to, and those left for its other threads.
 *
 * The launcher's mask is read before any library starts: OpenMP narrows the mask of the first
 * thread at start where OMP_PROC_BIND is set, and every thread inherits the mask of its maker.
 */
#ifndef RN_PROTO_BASE_AFFINITY_H
#define RN_PROTO_BASE_AFFINITY_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/** As many cores as one Linux kernel can have. */
enum { RN_MASK_CORES = 8192, RN_MASK_BYTES = RN_MASK_CORES / 8 };

/** A set of cores; usable as a cpu_set_t of RN_MASK_BYTES. */
typedef struct rn_mask {
  cpu_set_t set[RN_MASK_BYTES / sizeof(cpu_set_t)];
} rn_mask;

bool rn_mask_has(const rn_mask *mask, int core);
void rn_mask_add(rn_mask *mask, int core);
int rn_mask_count(const rn_mask *mask);
bool rn_mask_meets(const rn_mask *a, const rn_mask *b);

/** Cores in words, "0-3,8". Cut to `bytes`. */
void rn_mask_text(const rn_mask *mask, char *text, size_t bytes);

/** The mask that this process was started with. False, with errno, where it cannot be read. */
bool rn_affinity_launcher(rn_mask *out);

/** Takes the calling thread's mask as the launcher's; done by itself before main. */
void rn_affinity_remember(void);

/** Gives the calling thread the launcher's mask back, as before an exec. */
void rn_affinity_restore(void);

/**
 * A core of its own for each of `threads` threads, of those in `mask`: the one that it runs on
 * where that is free, else one of a physical core without another thread, else any free one.
 *
 * Shapes: running, core [threads]; sibling [RN_MASK_CORES]: the lowest-numbered core of the same
 * physical core. Pure. False where the mask has fewer cores than threads.
 */
bool rn_affinity_assign(const rn_mask *mask, const int *sibling, const int *running, int threads,
                        int *core);

/** What rn_affinity_assign needs of this machine; a core whose topology is hidden is its own. */
void rn_affinity_siblings(int *sibling /* [RN_MASK_CORES] */);

/** From now on these cores belong to computing threads; NULL: none do. */
void rn_affinity_claim(const rn_mask *cores);

/**
 * pthread_create for a thread beside those that compute: it runs on the launcher's cores that no
 * computing thread is bound to, or on all of them where none is left.
 */
int rn_thread_create(pthread_t *thread, void *(*start)(void *), void *argument);

#endif
