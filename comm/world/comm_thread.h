/**
 * The communication thread of a rank progresses messages while the other threads compute.
 *
 * One thread of a rank is inside MPI at a time (MPI_THREAD_SERIALIZED). By default the main thread
 * owns MPI, and all functions of comm/ assume this. The main thread releases MPI while it computes,
 * and acquires it before its next MPI call. While MPI is released, the communication thread runs
 * the progress callbacks, which poll the messages in flight; if no message is in flight, it sleeps
 * until the next release.
 *
 * If the thread has no core to itself, it sleeps between polls and wakes up at a fixed interval. A
 * message in flight is then polled at least every RN_COMM_THREAD_POLL_US, even while the other
 * threads compute long matrix products. Each poll costs these threads a few microseconds.
 *
 * Results do not depend on the communication thread: its callbacks do the same as polls by the main
 * thread, and it inherits the floating-point mode of the thread that starts it (POSIX).
 */
#ifndef RN_COMM_WORLD_COMM_THREAD_H
#define RN_COMM_WORLD_COMM_THREAD_H

#include <stdbool.h>

#include "comm/world/world.h"

typedef struct rn_comm_thread rn_comm_thread;

/** Result of a poll: no message is in flight (DONE), messages are in flight but none has arrived
 * (WAITS), or a message has arrived (MOVED). The result of several callbacks is the largest of
 * their results. */
typedef enum { RN_PROGRESS_DONE, RN_PROGRESS_WAITS, RN_PROGRESS_MOVED } rn_progress_state;

/** A progress callback: `poll` progresses the messages of the object `self` without waiting. */
typedef struct rn_progress_callback {
  void *self;
  rn_progress_state (*poll)(void *self);
} rn_progress_callback;

enum { RN_COMM_THREAD_MAX_CALLBACKS = 4 };

/** How the thread waits between two polls. */
typedef enum {
  RN_COMM_THREAD_OWN_CORE, /* spins, yields, then sleeps (backoff.h): lowest latency */
  RN_COMM_THREAD_PERIODIC  /* sleeps for RN_COMM_THREAD_PERIOD_US */
} rn_comm_thread_wait;

/** Times of a periodic thread, in microseconds: the sleep between two polls, and an upper bound on
 * the time from one poll to the next, including the wake-up and the poll itself. */
enum { RN_COMM_THREAD_PERIOD_US = 150, RN_COMM_THREAD_POLL_US = 200 };

/**
 * Starts the thread; the main thread still owns MPI.
 *
 * Collective: no.
 * Errors:     RN_ERR_LIBRARY, naming parallel.comm_thread, if no thread can be created or MPI
 *             provides a lower thread level than MPI_THREAD_SERIALIZED; RN_ERR_MEMORY; neither is
 *             agreed.
 */
rn_status rn_comm_thread_start(rn_err *err, const rn_world *world, rn_comm_thread_wait wait,
                               rn_comm_thread **out);
/** Returns how the thread waits between polls. Not collective. Errors: none. */
rn_comm_thread_wait rn_comm_thread_waits(const rn_comm_thread *thread);
/**
 * Acquires MPI for the main thread and ends the thread; accepts NULL. The objects of the callbacks
 * must outlive the thread.
 * Not collective. Errors: none.
 */
void rn_comm_thread_stop(rn_comm_thread **thread);

/**
 * Adds a callback (at most RN_COMM_THREAD_MAX_CALLBACKS); the main thread must own MPI.
 * Not collective. Errors: none.
 */
void rn_comm_thread_add(rn_comm_thread *thread, rn_progress_callback callback);

/**
 * Releases MPI: the main thread must not call MPI until it acquires MPI again. NULL: no effect. Not
 * collective. Errors: none.
 */
void rn_comm_thread_release(rn_comm_thread *thread);
/**
 * Acquires MPI for the main thread once running callbacks have returned; returns true if MPI had
 * been released. NULL: returns false. Not collective. Errors: none.
 */
bool rn_comm_thread_acquire(rn_comm_thread *thread);

#endif
