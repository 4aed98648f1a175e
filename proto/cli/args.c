#include "proto/cli/args.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/rounding.h"
#include "proto/base/wrap.h"
#include "proto/cli/completion.h"
#include "proto/cli/launched.h"
#include "proto/cli/manual.h"
#include "proto/options/nearest.h"
#include "proto/options/options.h"

enum { NAME_BYTES = 96 };

static const rn_arg everywhere[] = {
    {.letter = 'h', .name = "help", .help = "print this help and exit"},
    {.name = "version", .help = "print program, build and library versions, and exit"},
    {.name = "generate",
     .value = "man|bash",
     .help = "print the manual page or the completion for bash, and exit",
     .kind = RN_ARG_TEXT},
};
enum { EVERYWHERE = sizeof everywhere / sizeof everywhere[0] };

static const rn_arg *option_at(const rn_args *args, int i) {
  return i < args->count ? &args->options[i] : &everywhere[i - args->count];
}

const rn_arg *rn_args_option(const rn_args *args, int i) {
  const int own = args != NULL ? args->count : 0;
  assert(i >= 0);
  if (i >= own + EVERYWHERE) return NULL;
  return i < own ? &args->options[i] : &everywhere[i - own];
}

rn_status rn_args_check_generate(rn_err *err, const char *kind) {
  static const char *const kinds[] = {"man", "bash"};
  int index;
  return rn_args_choose(err, "--generate", kind, kinds, 2, &index);
}

void rn_words_free(rn_words *words) {
  free(words->word);
  *words = (rn_words){0};
}

static rn_status add_word(rn_err *err, rn_words *words, const char *word) {
  RN_TRY(err, rn_grow(err, "the command line", (size_t)words->count + 1, sizeof *words->word,
                      &words->word, &words->capacity));
  words->word[words->count++] = word;
  return RN_OK;
}

static rn_status unknown_option(rn_err *err, const rn_args *args, const char *name) {
  const char *nearest = "help";
  int best = INT_MAX;
  for (int i = 0; i < args->count + EVERYWHERE; i++) {
    const char *known = option_at(args, i)->name;
    if (known == NULL) continue;
    const int distance = rn_nearest_distance(name, known);
    if (distance < best) {
      best = distance;
      nearest = known;
    }
  }
  return rn_fail(err, RN_ERR_USAGE,
                 "unknown option --%s; did you mean --%s? (%s --help lists all options)", name,
                 nearest, args->program);
}

static rn_status find_long(rn_err *err, const rn_args *args, const char *text, size_t length,
                           const rn_arg **out) {
  char name[NAME_BYTES];
  snprintf(name, sizeof name, "%.*s", (int)(length < NAME_BYTES ? length : NAME_BYTES), text);
  for (int i = 0; i < args->count + EVERYWHERE; i++) {
    *out = option_at(args, i);
    if ((*out)->name != NULL && strcmp((*out)->name, name) == 0) return RN_OK;
  }
  return unknown_option(err, args, name);
}

static rn_status find_letter(rn_err *err, const rn_args *args, char letter, const rn_arg **out) {
  for (int i = 0; i < args->count + EVERYWHERE; i++) {
    *out = option_at(args, i);
    if ((*out)->letter == letter) return RN_OK;
  }
  return rn_fail(err, RN_ERR_USAGE, "unknown option -%c (%s --help lists all options)", letter,
                 args->program);
}

static rn_status check_bounds(rn_err *err, const rn_arg *arg, const char *name, const char *text,
                              double number) {
  if (!(arg->low < arg->high) || (number >= arg->low && number <= arg->high)) return RN_OK;
  if (arg->kind == RN_ARG_INTEGER) {
    return rn_fail(err, RN_ERR_USAGE, "%s %s: out of range (%.0f .. %.0f)", name, text, arg->low,
                   arg->high);
  }
  return rn_fail(err, RN_ERR_USAGE, "%s %s: out of range (%g .. %g)", name, text, arg->low,
                 arg->high);
}

static rn_status empty(rn_err *err, const char *name) {
  return rn_fail(err, RN_ERR_USAGE, "%s is empty: give a path (is a shell variable unset?)", name);
}

static rn_status take_integer(rn_err *err, const rn_arg *arg, const char *name, const char *text) {
  char *end;
  errno = 0;
  const long long whole = strtoll(text, &end, 10);
  if (end == text || *end != '\0' || errno == ERANGE) {
    return rn_fail(err, RN_ERR_USAGE, "%s %s: not an integer", name, text);
  }
  *(int64_t *)arg->out = whole;
  return check_bounds(err, arg, name, text, (double)whole);
}

rn_status rn_args_integers(rn_err *err, const char *name, const rn_words *words, double high,
                           int64_t *out) {
  rn_arg arg = {.kind = RN_ARG_INTEGER, .low = 0, .high = high};
  for (int i = 0; i < words->count; i++) {
    arg.out = &out[i];
    RN_TRY(err, take_integer(err, &arg, name, words->word[i]));
  }
  return RN_OK;
}

static rn_status take_value(rn_err *err, const rn_arg *arg, const char *name, const char *text) {
  char *end;
  if (arg->kind == RN_ARG_PATH && text[0] == '\0') return empty(err, name);
  if (arg->kind == RN_ARG_PATH && strcmp(text, "-") == 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s -: this option needs a path and does not take - for standard input or "
                   "output (./- is a file with that name)",
                   name);
  }
  if (arg->kind == RN_ARG_TEXT || arg->kind == RN_ARG_PATH) {
    *(const char **)arg->out = text;
    return RN_OK;
  }
  if (arg->kind == RN_ARG_LIST) return add_word(err, arg->out, text);
  if (arg->kind == RN_ARG_INTEGER) return take_integer(err, arg, name, text);
  const double number = strtod(text, &end);
  if (end == text || *end != '\0' || !isfinite(number) || !rn_is_decimal(text)) {
    return rn_fail(err, RN_ERR_USAGE, "%s %s: not a finite number in plain decimal digits", name,
                   text);
  }
  if (rn_rounds_to_zero(text, number)) {
    return rn_fail(err, RN_ERR_USAGE, "%s %s is so small that it would be rounded to 0", name,
                   text);
  }
  *(double *)arg->out = number;
  return check_bounds(err, arg, name, text, number);
}

/* Parses the option at argv[*at] and advances *at to the last word of the option (its value, if
 * that is a separate word). */
static rn_status read_option(rn_err *err, const rn_args *args, int argc, char *const *argv, int *at,
                             rn_args_found *found) {
  const char *text = argv[*at], *attached = NULL;
  const bool is_long = text[1] == '-';
  const rn_arg *arg = NULL;
  char name[NAME_BYTES];
  if (is_long) {
    const char *equals = strchr(text, '=');
    attached = equals != NULL ? equals + 1 : NULL;
    const size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    RN_TRY(err, find_long(err, args, text + 2, length - 2, &arg));
    snprintf(name, sizeof name, "--%s", arg->name);
  } else {
    RN_TRY(err, find_letter(err, args, text[1], &arg));
    attached = text[2] != '\0' ? text + 2 : NULL;
    snprintf(name, sizeof name, "-%c", arg->letter);
  }
  if (arg->kind == RN_ARG_SWITCH) {
    if (attached != NULL) return rn_fail(err, RN_ERR_USAGE, "%s takes no value (%s)", name, text);
    if (arg->out != NULL) *(bool *)arg->out = true;
    found->help = arg == &everywhere[0];
    found->version = arg == &everywhere[1];
    return RN_OK;
  }
  if (attached == NULL) {
    if (*at + 1 == argc)
      return rn_fail(err, RN_ERR_USAGE, "%s requires a value: %s", name, arg->value);
    attached = argv[++*at];
  }
  if (arg == &everywhere[2]) {
    found->generate = attached;
    return rn_args_check_generate(err, attached);
  }
  return take_value(err, arg, name, attached);
}

static rn_status check_words(rn_err *err, const rn_args *args, const rn_words *words) {
  if (words->count < args->min_words) {
    return rn_fail(err, RN_ERR_USAGE, "too few arguments; usage: %s %s", args->program, args->form);
  }
  for (int i = 0; i < words->count; i++) {
    if (words->word[i][0] == '\0') return empty(err, "an argument");
  }
  if (args->max_words >= 0 && words->count > args->max_words) {
    return rn_fail(err, RN_ERR_USAGE, "unexpected argument %s; usage: %s %s",
                   words->word[args->max_words], args->program, args->form);
  }
  return RN_OK;
}

rn_status rn_args_parse(rn_err *err, const rn_args *args, int argc, char *const *argv,
                        rn_args_found *out) {
  bool options_end = false;
  /* In a program with commands, rn_commands_parse handles `help`. */
  const bool has_commands = strchr(args->program, ' ') != NULL;
  out->help = !has_commands && argc == 2 && strcmp(argv[1], "help") == 0;
  if (out->help) return RN_OK;
  for (int at = 1; at < argc; at++) {
    const char *text = argv[at];
    if (options_end || text[0] != '-' || text[1] == '\0') {
      RN_TRY(err, add_word(err, &out->words, text));
    } else if (strcmp(text, "--") == 0) {
      options_end = true;
    } else {
      RN_TRY(err, read_option(err, args, argc, argv, &at, out));
      if (rn_args_asks(out)) return RN_OK;
    }
  }
  return check_words(err, args, &out->words);
}

/* ---- help ---- */

static void print_option(const rn_arg *arg, int margin, FILE *file) {
  enum { TEXT_MARGIN = 29 };
  const char letter[] = {'-', arg->letter, '\0'};
  const int column = fprintf(file, "%*s%s%s%s%s%s%s", margin, "", arg->letter != 0 ? letter : "",
                             arg->letter != 0 && arg->name != NULL ? ", " : "",
                             arg->name != NULL ? "--" : "", arg->name != NULL ? arg->name : "",
                             arg->value != NULL ? " " : "", arg->value != NULL ? arg->value : "");
  fputc(' ', file);
  rn_wrap_print(file, arg->help, column + 1, TEXT_MARGIN);
}

static void print_options(const rn_args *args, int margin, FILE *file) {
  for (int i = 0; i < args->count; i++) print_option(&args->options[i], margin, file);
}

void rn_args_print_common(FILE *file) {
  for (int i = 0; i < EVERYWHERE; i++) print_option(&everywhere[i], 2, file);
}

void rn_args_print_section(const rn_args *args, FILE *file) {
  enum { MARGIN = 2, HANGING = 6 };
  int column = fprintf(file, "%s ", args->program);
  rn_wrap_print(file, args->form, column, HANGING);
  rn_wrap_print(file, args->about, 0, MARGIN);
  print_options(args, 2 * MARGIN, file);
  column = fprintf(file, "%*sexample: ", MARGIN, "");
  rn_wrap_print(file, args->example, column, column);
}

void rn_args_print_help(const rn_args *args, FILE *file) {
  enum { MARGIN = 2, HANGING = 7 };
  rn_wrap_print(file, args->form, fprintf(file, "usage: %s ", args->program), HANGING);
  fputc('\n', file);
  rn_wrap_print(file, args->about, 0, 0);
  fputc('\n', file);
  print_options(args, MARGIN, file);
  rn_args_print_common(file);
  fprintf(file, "\nexample:\n");
  rn_wrap_print(file, args->example, 0, MARGIN);
  if (!args->config_keys) return;
  fprintf(file, "\nConfiguration keys, with default and range:\n");
  rn_options_print_help(file);
}

bool rn_args_answer(const rn_args *args, const rn_args_found *found,
                    rn_print_version *print_version) {
  const bool prints = rn_launched_prints();
  if (found->help && prints) rn_args_print_help(args, stdout);
  if (found->version && prints) print_version(args->program);
  if (found->generate != NULL && prints) {
    const bool man = strcmp(found->generate, "man") == 0;
    (man ? rn_manual_print : rn_completion_print)(args, NULL, stdout);
  }
  return rn_args_asks(found);
}

rn_status rn_args_choose(rn_err *err, const char *what, const char *word,
                         const char *const *choices, int count, int *out) {
  char all[512] = "";
  for (int i = 0; i < count; i++) {
    if (strcmp(word, choices[i]) == 0) {
      *out = i;
      return RN_OK;
    }
    strncat(all, i > 0 ? "|" : "", sizeof all - strlen(all) - 1);
    strncat(all, choices[i], sizeof all - strlen(all) - 1);
  }
  return rn_fail(err, RN_ERR_USAGE, "%s: \"%s\" is not one of %s", what, word, all);
}
