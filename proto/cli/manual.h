/** Prints manual pages, generated from the same tables as --help. */
#ifndef RN_PROTO_CLI_MANUAL_H
#define RN_PROTO_CLI_MANUAL_H

#include "proto/cli/commands.h"

/** Prints the manual page (section 1, macros of man(7)) of a program. The program is either
 * `single` or, if it has commands, `commands`; the other argument is NULL. */
void rn_manual_print(const rn_args *single, const rn_commands *commands, FILE *file);

#endif
