/**
 * The communication thread of a rank: it progresses messages while the other threads compute.
 *
 * One thread of a rank is inside MPI at a time (MPI_THREAD_SERIALIZED). The main thread owns MPI by
 * default, as all functions of comm/ assume; it releases MPI while it computes, and acquires it
 * before its next call. While MPI is released, this thread runs the progress callbacks, which poll
 * the messages in flight; if none is in flight, it sleeps until the next release.
 *
 * The results do not depend on the thread: a callback does what the main thread's polls would do,
 * and the thread inherits the floating-point mode of the thread that starts it (POSIX).
 */
#ifndef RN_COMM_WORLD_COMM_THREAD_H
#define RN_COMM_WORLD_COMM_THREAD_H

#include <stdbool.h>

#include "comm/world/world.h"

typedef struct rn_comm_thread rn_comm_thread;

/** Result of a poll: nothing in flight, nothing arrived, something arrived. The largest wins. */
typedef enum { RN_PROGRESS_DONE, RN_PROGRESS_WAITS, RN_PROGRESS_MOVED } rn_progress_state;

/** `poll` progresses the messages of `self` without waiting. */
typedef struct rn_progress_callback {
  void *self;
  rn_progress_state (*poll)(void *self);
} rn_progress_callback;

enum { RN_COMM_THREAD_MAX_CALLBACKS = 4 };

/**
 * Starts the thread; the main thread owns MPI.
 *
 * Collective: no.
 * Errors:     RN_ERR_LIBRARY, naming parallel.comm_thread, if no thread can be created or MPI is
 *             below MPI_THREAD_SERIALIZED; RN_ERR_MEMORY; neither is agreed.
 */
rn_status rn_comm_thread_start(rn_err *err, const rn_world *world, rn_comm_thread **out);
/**
 * Acquires MPI and ends the thread; takes NULL. The callbacks' objects outlive the thread.
 * Not collective. Errors: none.
 */
void rn_comm_thread_stop(rn_comm_thread **thread);

/**
 * Adds a callback, RN_COMM_THREAD_MAX_CALLBACKS at most; the main thread must own MPI.
 * Not collective. Errors: none.
 */
void rn_comm_thread_add(rn_comm_thread *thread, rn_progress_callback callback);

/**
 * Releases MPI: the main thread makes no MPI call until it acquires MPI. NULL: no effect.
 * Not collective. Errors: none.
 */
void rn_comm_thread_release(rn_comm_thread *thread);
/**
 * Acquires MPI for the main thread, after the callbacks have returned; returns true if it was
 * released. NULL: returns false. Not collective. Errors: none.
 */
bool rn_comm_thread_acquire(rn_comm_thread *thread);

#endif
