/** Completion of command lines by bash, from the same tables as --help. */
#ifndef RN_PROTO_CLI_COMPLETION_H
#define RN_PROTO_CLI_COMPLETION_H

#include "proto/cli/commands.h"

/**
 * Prints a script for bash: commands, options, the words that an option or a configuration key may
 * have, and the names of the keys after -s. Files are completed everywhere else. The program is
 * either `single`, or one with commands; the other is NULL.
 */
void rn_completion_print(const rn_args *single, const rn_commands *commands, FILE *file);

#endif
