/**
 * The first and the last call of every program: prepare the standard streams, report lost output.
 *
 * A program fails when its output is lost (full disk, closed pipe, closed descriptor). It is not
 * killed, so a training run continues after its terminal is closed.
 */
#ifndef RN_PROTO_CLI_PROGRAM_H
#define RN_PROTO_CLI_PROGRAM_H

#include "proto/base/status.h"

/**
 * The first call of main. Opens descriptors 0 to 2 if the caller left them closed, so that no file
 * opened later becomes a standard stream; reads and writes on these descriptors fail. Ignores
 * SIGPIPE and SIGXFSZ (ulimit -f): the write fails instead and is reported. Makes output blocking
 * even if the caller made the pipe non-blocking.
 */
void rn_program_start(void);

/**
 * Returns `status`, or RN_ERR_IO if that is RN_OK and some standard output could not be written.
 * Call it after the last line is printed.
 */
rn_status rn_program_check_output(rn_err *err, rn_status status);

/** Checks the output, prints the error if any, returns the exit code; for programs without MPI, and
 * before MPI starts. Of several ranks that a launcher started, one prints. */
int rn_program_finish(const char *program, rn_status status, rn_err *err);

#endif
