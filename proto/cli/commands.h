/** Programs with subcommands: one table defines the help, the commands and their options. */
#ifndef RN_PROTO_CLI_COMMANDS_H
#define RN_PROTO_CLI_COMMANDS_H

#include "proto/cli/args.h"

/** One command; `run` gets the words that are not options. */
typedef struct rn_command {
  const char *name;
  rn_args args;
  rn_status (*run)(rn_err *err, const rn_words *words);
} rn_command;

typedef struct rn_commands {
  const char *program;
  const char *about; /* what the program does, and what all commands share */
  const rn_command *command;
  int count; /* at most RN_COMMANDS_MAX */
  rn_print_version *print_version;
} rn_commands;

enum { RN_COMMANDS_MAX = 16 };

/**
 * Parses the command line: the command in *out, the words that are not options in `words`. Handles
 * --help and --version of the program and of each command, and `help [COMMAND]`; *out is then NULL.
 *
 * Ownership: rn_words_free(words). Errors: RN_ERR_USAGE naming the word with the possible commands,
 * or the option with the nearest known one.
 */
rn_status rn_commands_parse(rn_err *err, const rn_commands *commands, int argc, char *const *argv,
                            const rn_command **out, rn_words *words);

/** main of a program without MPI: parses, runs, prints errors on stderr. Returns the exit code. If
 * a launcher has started several ranks, only rank 0 runs the command. */
int rn_commands_main(const rn_commands *commands, int argc, char *const *argv);

#endif
