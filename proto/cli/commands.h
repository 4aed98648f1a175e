/** Implements programs with subcommands. One table defines the help, the commands and their
 * options. */
#ifndef RN_PROTO_CLI_COMMANDS_H
#define RN_PROTO_CLI_COMMANDS_H

#include "proto/cli/args.h"

/** A command. The arguments of `run` are the words that are not options. */
typedef struct rn_command {
  const char *name;
  rn_args args;
  rn_status (*run)(rn_err *err, const rn_words *words);
} rn_command;

typedef struct rn_commands {
  const char *program;
  const char *about; /* what the program does, and what is common to all commands */
  const rn_command *command;
  int count; /* at most RN_COMMANDS_MAX */
  rn_print_version *print_version;
} rn_commands;

enum { RN_COMMANDS_MAX = 16 };

/**
 * Parses the command line: sets *out to the command, and `words` to the words that are not options.
 * If the command line is `help [COMMAND]` or has --help or --version, prints the answer and sets
 * *out to NULL.
 *
 * Ownership: free with rn_words_free(words). Errors: RN_ERR_USAGE naming an unknown command and all
 *            commands, or an unknown option and the nearest known one.
 */
rn_status rn_commands_parse(rn_err *err, const rn_commands *commands, int argc, char *const *argv,
                            const rn_command **out, rn_words *words);

/** The main function of a program without MPI: parses the command line, runs the command, prints
 * errors on stderr. Returns the exit code. If a launcher has started several ranks, only rank 0
 * runs the command. */
int rn_commands_main(const rn_commands *commands, int argc, char *const *argv);

#endif
