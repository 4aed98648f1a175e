/**
 * Handles signals that stop a generation cleanly, so that its state can be saved: SIGINT ends the
 * completion; SIGTERM and SIGHUP also end the program.
 *
 * A handler must not interrupt a matrix product: oneDNN's generated code uses the stack pointer as
 * a pointer to matrices, so the handler's stack frame would overwrite matrix elements. Therefore
 * the three signals, called "the signals" below, are blocked except inside the functions of this
 * file.
 */
#ifndef RN_TRAINER_GENERATE_STOP_SIGNALS_H
#define RN_TRAINER_GENERATE_STOP_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/** Blocks the signals in the calling thread and in the threads that it starts later; *before is the
 * previous signal mask of the calling thread. */
void rn_stop_signals_block(sigset_t *before);

/**
 * Blocks the signals and installs their handlers, until the process ends. A SIGHUP that was ignored
 * at the start (nohup) stays ignored. The other functions must be called from the same thread.
 */
void rn_stop_signals_catch(void);

/** True if one of the signals has arrived. */
bool rn_stop_signals_any(void);

/** True if SIGTERM or SIGHUP has arrived. */
bool rn_stop_signals_end(void);

/** Forgets a SIGINT that has arrived. */
void rn_stop_signals_forget_interrupt(void);

/** Waits until a file can be read or a signal arrives; returns false for a signal, also for one
 * that arrived before the call. */
bool rn_stop_signals_wait(int file);

#endif
