/**
 * What every program does first and last: its standard streams are in order, and a loss is told.
 *
 * A program fails when its output is lost: on a full disk, in a closed pipe, into a closed
 * descriptor. It is not killed for it, so that a training run whose terminal is gone goes on.
 */
#ifndef RN_PROTO_CLI_PROGRAM_H
#define RN_PROTO_CLI_PROGRAM_H

#include "proto/base/status.h"

/**
 * The first call of main. Descriptors 0 to 2 that the caller left closed are taken, so that no file
 * of ours becomes a standard stream; reading or printing there then fails. SIGPIPE and SIGXFSZ
 * (ulimit -f) are ignored: the write that meets them fails and is reported. Output waits for its
 * reader even if the caller made the pipe non-blocking.
 */
void rn_program_start(void);

/**
 * `status`, or RN_ERR_IO where that was RN_OK and something printed on standard output did not
 * arrive. Call it after the last line was printed.
 */
rn_status rn_program_check_output(rn_err *err, rn_status status);

/** Checks the output and prints the error, if any: the exit code of a program without MPI. */
int rn_program_finish(const char *program, rn_status status, rn_err *err);

#endif
