/**
 * Parses a program's command line by a table of options, and stores the values in the caller's
 * variables.
 *
 * Options are written `--name value`, `--name=value` or `-x value`; `--` ends the options, and `-`
 * is an ordinary word. Every program has --help (-h; and `help` alone), --version and --generate.
 * If an option is repeated, the last value wins.
 */
#ifndef RN_PROTO_CLI_ARGS_H
#define RN_PROTO_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/status.h"

/** Words of a command line, in order; they point into argv. Zero-initialize; free with
 * rn_words_free. */
typedef struct rn_words {
  const char **word; /* [count] */
  int count;
  size_t capacity;
} rn_words;

/** Frees the list, not the words. */
void rn_words_free(rn_words *words);

typedef enum {
  RN_ARG_SWITCH,  /* out is bool *, set to true */
  RN_ARG_TEXT,    /* const char ** */
  RN_ARG_PATH,    /* const char **; an empty value (as from an unset shell variable) is an error, as
                   * is "-", which would not mean standard input or output */
  RN_ARG_LIST,    /* rn_words *; each occurrence of the option adds one word */
  RN_ARG_INTEGER, /* int64_t * */
  RN_ARG_NUMBER   /* double *, finite */
} rn_arg_kind;

/** An option. If low < high, `low` and `high` are the bounds of an integer or number. */
typedef struct rn_arg {
  char letter;       /* 0: none */
  const char *name;  /* without dashes; NULL: the option has only a letter */
  const char *value; /* name of the value in the help; NULL for a switch */
  const char *help;
  rn_arg_kind kind;
  void *out;
  double low, high;
} rn_arg;

/** The syntax of a command line. `program` may include a subcommand: "retnet-data build". */
typedef struct rn_args {
  const char *program;
  const char *form;    /* arguments, for example "CONFIG.yaml [-s key=value]..." */
  const char *about;   /* what the program does; wrapped, '\n' starts a new line */
  const char *example; /* complete command lines, one per line */
  const rn_arg *options;
  int count;
  int min_words, max_words; /* number of words that are not options; max_words -1: no limit */
  bool config_keys;         /* the help also lists all configuration keys */
} rn_args;

/** What a command line contains besides the options in the caller's table. Zero-initialize; free
 * with rn_words_free(&found.words). */
typedef struct rn_args_found {
  bool help, version; /* true if this option was found; parsing stops at it */
  /* value of --generate ("man" or "bash"), an option at which parsing also stops; NULL if not
   * found */
  const char *generate;
  rn_words words;
} rn_args_found;

/**
 * Parses argv[1 .. argc-1].
 *
 * Errors: RN_ERR_USAGE naming the option, its value and bounds, or for an unknown option the
 *         nearest known one; RN_ERR_USAGE for too many, too few or empty words.
 */
rn_status rn_args_parse(rn_err *err, const rn_args *args, int argc, char *const *argv,
                        rn_args_found *out);

/** Prints usage, description, every option, --help and --version, and the example. */
void rn_args_print_help(const rn_args *args, FILE *file);

/** Prints the same as rn_args_print_help, but as one section of a program's help, and without
 * --help and --version. */
void rn_args_print_section(const rn_args *args, FILE *file);

/** Prints the options that every program has. */
void rn_args_print_common(FILE *file);

/** Returns option `i` in the order of the help, or NULL after the last option. The options that all
 * programs share come last; if `args` is NULL, there are no other options. */
const rn_arg *rn_args_option(const rn_args *args, int i);

/** Checks the value of --generate. Errors: RN_ERR_USAGE naming the possible values. */
rn_status rn_args_check_generate(rn_err *err, const char *kind);

/** Prints the output of --version to stdout. */
typedef void rn_print_version(const char *program);

/** True if the command line asks for help, version, manual page or completion. */
static inline bool rn_args_asks(const rn_args_found *found) {
  return found->help || found->version || found->generate != NULL;
}

/** If the command line asks for help, version, manual page or completion, prints it to stdout and
 * returns true. */
bool rn_args_answer(const rn_args *args, const rn_args_found *found,
                    rn_print_version *print_version);

/** Parses the words of the repeated option `name` as integers from 0 to `high` into out [count].
 * Errors: RN_ERR_USAGE, as for RN_ARG_INTEGER. */
rn_status rn_args_integers(rn_err *err, const char *name, const rn_words *words, double high,
                           int64_t *out);

/** Sets *out to the index of `word` in `choices`. Errors: RN_ERR_USAGE naming `what`, word and
 * choices. */
rn_status rn_args_choose(rn_err *err, const char *what, const char *word,
                         const char *const *choices, int count, int *out);

#endif
