/** A program of several commands: one table gives help, choice and each command's options. */
#ifndef RN_PROTO_CLI_COMMANDS_H
#define RN_PROTO_CLI_COMMANDS_H

#include "proto/cli/args.h"

/** One command; `run` gets the words beside the options. */
typedef struct rn_command {
  const char *name;
  rn_args args;
  rn_status (*run)(rn_err *err, const rn_words *words);
} rn_command;

typedef struct rn_commands {
  const char *program;
  const char *notes; /* printed under the list of commands */
  const rn_command *command;
  int count; /* at most RN_COMMANDS_MAX */
  void (*print_version)(void);
} rn_commands;

enum { RN_COMMANDS_MAX = 16 };

/**
 * Reads the command line: the command in *out, the words that are left in `words`. --help and
 * --version, of the program and of each command, are answered here: *out is NULL then.
 *
 * Ownership: rn_words_free(words). Errors: RN_ERR_USAGE naming the word or option, with the
 * nearest.
 */
rn_status rn_commands_parse(rn_err *err, const rn_commands *commands, int argc, char *const *argv,
                            const rn_command **out, rn_words *words);

/** Parses and runs, for programs of one process: the exit code, errors told on stderr. */
int rn_commands_main(const rn_commands *commands, int argc, char *const *argv);

#endif
