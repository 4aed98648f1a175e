/** Prints completion scripts for bash, generated from the same tables as --help. */
#ifndef RN_PROTO_CLI_COMPLETION_H
#define RN_PROTO_CLI_COMPLETION_H

#include "proto/cli/commands.h"

/**
 * Prints a completion script. It completes commands, options, the words that are values of an
 * option or configuration key, and the names of keys after -s; everywhere else, it completes files.
 * The program is either `single` or, if it has commands, `commands`; the other argument is NULL.
 */
void rn_completion_print(const rn_args *single, const rn_commands *commands, FILE *file);

#endif
