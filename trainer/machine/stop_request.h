/** What asks a run to stop in order: TERM or USR1, heard between two steps. */
#ifndef RN_TRAINER_MACHINE_STOP_REQUEST_H
#define RN_TRAINER_MACHINE_STOP_REQUEST_H

#include <stdbool.h>

/**
 * From now on the two signals end nothing. The calling thread, and all that it starts later, hold
 * them back but where a line of the log is written: no handler may run on top of a matrix product,
 * as oneDNN's generated code keeps a pointer to matrices in the stack pointer, and the frame of a
 * handler would be written there. From the first request on, lines that nobody reads are dropped:
 * an mpirun that is told to end takes no more. To be called before the threads of OpenMP start.
 */
void rn_stop_request_listen(void);

/**
 * Whether this process was asked to stop, now or earlier: requests that were held back are taken.
 * To be called by the thread that listens.
 */
bool rn_stop_request_heard(void);

#endif
