/** Handles SIGTERM, SIGUSR1 and SIGUSR2, which ask a run to stop cleanly; they are checked between
 * steps. */
#ifndef RN_TRAINER_LAUNCH_STOP_REQUEST_H
#define RN_TRAINER_LAUNCH_STOP_REQUEST_H

#include <stdbool.h>

/**
 * Installs handlers for the three signals, so that a request before rn_stop_request_install, as
 * while MPI starts, is recorded and does not end the process. Does not block the signals, because
 * processes that MPI starts would inherit that. Must be called from the thread that calls
 * rn_stop_request_install; no matrix product may run in between.
 */
void rn_stop_request_catch(void);

/**
 * Installs the handlers, and blocks the three signals in the calling thread and all threads that it
 * starts later, except while a log line is written. A handler must not interrupt a matrix product:
 * oneDNN's generated code uses the stack pointer as a pointer to matrices, so the stack frame of a
 * handler would overwrite matrix elements. After the first request, the log drops lines instead of
 * waiting for a reader, since an mpirun that is terminating no longer reads them. Must be called
 * before the OpenMP threads start.
 */
void rn_stop_request_install(void);

/**
 * True if this process has been asked to stop. First unblocks the three signals for a moment, so
 * that the handlers of those that have arrived run. Must be called from the thread that called
 * rn_stop_request_install.
 */
bool rn_stop_request_pending(void);

#endif
