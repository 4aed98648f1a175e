/**
 * Declares the functions that every program calls first and last: they prepare the standard streams
 * and report lost output.
 *
 * If output is lost (full disk, closed pipe, closed descriptor), a program continues, so that a
 * training run survives the end of its terminal, and reports the error when it exits.
 */
#ifndef RN_PROTO_CLI_PROGRAM_H
#define RN_PROTO_CLI_PROGRAM_H

#include "proto/base/status.h"

/**
 * The first call of main. Opens descriptors 0 to 2 if the parent process left them closed, so that
 * no file opened later becomes a standard stream; reads and writes on these descriptors fail.
 * Ignores SIGPIPE and SIGXFSZ (ulimit -f), so that writes fail and are reported. Makes output
 * blocking even if the parent process made the pipe non-blocking.
 */
void rn_program_start(void);

/**
 * Returns `status`, or RN_ERR_IO if `status` is RN_OK but some standard output could not be
 * written. Call after the last line has been printed.
 */
rn_status rn_program_check_output(rn_err *err, rn_status status);

/** Checks the output, prints the error if there is one, and returns the exit code. For programs
 * without MPI, and before MPI is initialized. If a launcher has started several ranks, one of them
 * prints the error. */
int rn_program_finish(const char *program, rn_status status, rn_err *err);

#endif
