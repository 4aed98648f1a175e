/**
 * The communication thread of a rank: it moves messages while the rank's other threads compute.
 *
 * One thread of a rank is inside MPI at a time (MPI_THREAD_SERIALIZED). The main thread has MPI,
 * and every call of this folder may rely on that; it lends MPI for the time of its computing, and
 * takes it back for its next call. What is lent is looked after by errands, each a look at messages
 * that are under way. Where none is, the thread sleeps until the next time.
 *
 * Who moves a message changes no bit: an errand does what the main thread's polls would do. The
 * thread's arithmetic is that of the thread that starts it (POSIX hands the mode on).
 */
#ifndef RN_COMM_WORLD_COMM_THREAD_H
#define RN_COMM_WORLD_COMM_THREAD_H

#include <stdbool.h>

#include "comm/world/world.h"

typedef struct rn_comm_thread rn_comm_thread;

/** What a look at messages found; the later ones prevail. */
typedef enum { RN_PROGRESS_DONE, RN_PROGRESS_WAITS, RN_PROGRESS_MOVED } rn_progress_state;

/** Something to look after: `look` moves what has come, without waiting. */
typedef struct rn_progress_callback {
  void *self;
  rn_progress_state (*look)(void *self);
} rn_progress_callback;

enum { RN_COMM_THREAD_MAX_CALLBACKS = 4 };

/**
 * MPI is the main thread's at first. Errors: RN_ERR_LIBRARY where no thread can be had, or where
 * the world was not started for it; the text names parallel.comm_thread.
 */
rn_status rn_comm_thread_start(rn_err *err, const rn_world *world, rn_comm_thread **out);
/** Takes MPI back for good; takes NULL and clears the pointer. What errands are about outlives it.
 */
void rn_comm_thread_stop(rn_comm_thread **thread);

/** One errand more, of RN_COMM_THREAD_MAX_CALLBACKS at most; while MPI is the main thread's. */
void rn_comm_thread_add(rn_comm_thread *thread, rn_progress_callback callback);

/** The main thread computes from here on, and calls MPI no more. NULL: there is no thread. */
void rn_comm_thread_release(rn_comm_thread *thread);
/** MPI is the main thread's again; returns whether it was lent. NULL: it always is. */
bool rn_comm_thread_acquire(rn_comm_thread *thread);

#endif
