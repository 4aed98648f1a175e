/**
 * A program's command line: a table of options, read into the caller's variables.
 *
 * `--name value`, `--name=value`, `-x value`; `--` ends the options, `-` is a word like any other.
 * --help and --version are known to every program. The last of two equal options wins.
 */
#ifndef RN_PROTO_CLI_ARGS_H
#define RN_PROTO_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/status.h"

/** Words of a command line, in order; they point into argv. Zero-initialise, rn_words_free. */
typedef struct rn_words {
  const char **word;
  int count;
} rn_words;

void rn_words_free(rn_words *words);

typedef enum {
  RN_ARG_SWITCH,  /* out is bool *, set to true */
  RN_ARG_TEXT,    /* const char ** */
  RN_ARG_PATH,    /* const char **, not empty: as it is where a shell variable is unset */
  RN_ARG_LIST,    /* rn_words *, one more for each time it is given */
  RN_ARG_INTEGER, /* int64_t * */
  RN_ARG_NUMBER   /* double *, finite */
} rn_arg_kind;

/** One option; `low` and `high` bound integers and numbers when low < high. */
typedef struct rn_arg {
  char letter;       /* 0: none */
  const char *name;  /* without dashes; NULL: the letter only */
  const char *value; /* what its value is called in the help; NULL for a switch */
  const char *help;
  rn_arg_kind kind;
  void *out;
  double low, high;
} rn_arg;

/** A command line's form. `program` may hold a subcommand: "retnet-data build". */
typedef struct rn_args {
  const char *program;
  const char *form;  /* "CONFIG.yaml [-s key=value]..." */
  const char *about; /* one or more lines */
  const rn_arg *options;
  int count;
  int least_words, most_words; /* words beside the options; most -1: any number */
} rn_args;

/** What else was on the line. Zero-initialise, rn_words_free(&found.words). */
typedef struct rn_args_found {
  bool help, version; /* reading stopped there */
  rn_words words;
} rn_args_found;

/**
 * Reads argv[1] and what follows.
 *
 * Errors: RN_ERR_USAGE naming the option (an unknown one with the nearest), its value and bounds,
 *         too many, too few or empty words.
 */
rn_status rn_args_parse(rn_err *err, const rn_args *args, int argc, char *const *argv,
                        rn_args_found *out);

/** "usage: ..." and a line for each option. */
void rn_args_print_help(const rn_args *args, FILE *file);

/** The place of `word` among `choices`. Errors: RN_ERR_USAGE naming `what`, word and choices. */
rn_status rn_args_choose(rn_err *err, const char *what, const char *word,
                         const char *const *choices, int count, int *out);

#endif
