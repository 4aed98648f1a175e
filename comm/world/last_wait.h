/** Waits for the last messages of an object that is being destroyed, without hanging if another
 * rank has failed. */
#ifndef RN_COMM_WORLD_LAST_WAIT_H
#define RN_COMM_WORLD_LAST_WAIT_H

#include <mpi.h>
#include <stdbool.h>

/**
 * Waits up to a second for all requests [count], of which any may be MPI_REQUEST_NULL; returns true
 * if they complete. Unless a rank has failed, they complete immediately. After an error of MPI,
 * some requests are complete and others are not: they are tested again. If it returns false, the
 * caller must keep the requests, and the buffers of the messages, until the process ends.
 *
 * Collective: with the ranks at the other ends of the messages.
 * Errors:     none; false if MPI still fails after a second.
 */
bool rn_last_wait(int count, MPI_Request *requests);

#endif
