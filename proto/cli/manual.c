#include "proto/cli/manual.h"

#include <ctype.h>
#include <string.h>

#include "proto/cli/version.h"
#include "proto/options/options.h"

/* Writes text, with escapes for characters that have a meaning in roff. */
static void put_escaped(FILE *file, const char *text, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    if (i == 0 && (text[i] == '.' || text[i] == '\'')) fputs("\\&", file);
    if (text[i] == '\\') {
      fputs("\\e", file);
    } else if (text[i] == '-') {
      fputs("\\-", file);
    } else if (text[i] == '\'') {
      fputs("\\(aq", file);
    } else {
      fputc(text[i], file);
    }
  }
}

static void put(FILE *file, const char *text) {
  put_escaped(file, text, strlen(text));
}

/* Writes lines of text, with `between` before each line except the first. An empty line begins a
 * paragraph. */
static void put_lines(FILE *file, const char *text, const char *between) {
  for (const char *at = text; *at != '\0';) {
    const size_t length = strcspn(at, "\n");
    if (at > text) fputs(length == 0 ? ".PP\n" : at[-2] == '\n' ? "" : between, file);
    put_escaped(file, at, length);
    if (length > 0) fputc('\n', file);
    at += length + (at[length] == '\n');
  }
}

static void put_option(FILE *file, const rn_arg *arg) {
  fputs(".TP\n", file);
  if (arg->letter != 0) fprintf(file, "\\fB\\-%c\\fR", arg->letter);
  if (arg->letter != 0 && arg->name != NULL) fputs(", ", file);
  if (arg->name != NULL) {
    fputs("\\fB\\-\\-", file);
    put(file, arg->name);
    fputs("\\fR", file);
  }
  if (arg->value != NULL) {
    fputs(" \\fI", file);
    put(file, arg->value);
    fputs("\\fR", file);
  }
  fputc('\n', file);
  put_lines(file, arg->help, ".br\n");
}

static void put_synopsis(FILE *file, const rn_args *args) {
  fputs("\\fB", file);
  put(file, args->program);
  fputs("\\fR ", file);
  put(file, args->form);
  fputc('\n', file);
}

static void put_examples(FILE *file, const char *example) {
  fputs(".nf\n", file);
  put_lines(file, example, "");
  fputs(".fi\n", file);
}

/* Writes the first sentence of a description, without full stop and starting with a lower-case
 * letter. */
static void put_first_sentence(FILE *file, const char *about) {
  size_t end = 0;
  while (about[end] != '\0' && !(about[end] == '.' && strchr(" \n", about[end + 1]) != NULL)) end++;
  const char first = (char)tolower((unsigned char)about[0]);
  put_escaped(file, &first, 1);
  put_escaped(file, about + 1, end > 0 ? end - 1 : 0);
  fputc('\n', file);
}

/* The file to which keys are printed, and the section of the previous key. */
typedef struct key_printer {
  FILE *file;
  char section[64];
} key_printer;

static void put_key(void *self, const rn_options_help *help) {
  key_printer *p = self;
  if (strcmp(p->section, help->section) != 0) fprintf(p->file, ".SS %s\n", help->section);
  snprintf(p->section, sizeof p->section, "%s", help->section);
  fprintf(p->file, ".TP\n\\fB%s.%s\\fR: ", help->section, help->name);
  put(p->file, help->value);
  if (help->domain[0] != '\0') {
    fputs("  (", p->file);
    put(p->file, help->domain);
    fputc(')', p->file);
  }
  fputc('\n', p->file);
  put_lines(p->file, help->doc, ".br\n");
}

static void put_single(FILE *file, const rn_args *args) {
  put_first_sentence(file, args->about);
  fputs(".SH SYNOPSIS\n", file);
  put_synopsis(file, args);
  fputs(".SH DESCRIPTION\n", file);
  put_lines(file, args->about, ".br\n");
  fputs(".SH OPTIONS\n", file);
  const rn_arg *arg;
  for (int i = 0; (arg = rn_args_option(args, i)) != NULL; i++) put_option(file, arg);
  if (args->config_keys) {
    key_printer p = {file, ""};
    fputs(".SH CONFIGURATION KEYS\nEach key with its default and allowed values or range.\n", file);
    rn_options_each_help(put_key, &p);
  }
  fputs(".SH EXAMPLES\n", file);
  put_examples(file, args->example);
}

static void put_command(FILE *file, const rn_args *args) {
  fputs(".SS ", file);
  put(file, args->program);
  fputc('\n', file);
  put_synopsis(file, args);
  fputs(".PP\n", file);
  put_lines(file, args->about, ".br\n");
  for (int i = 0; i < args->count; i++) put_option(file, &args->options[i]);
  fputs(".PP\nExample:\n", file);
  put_examples(file, args->example);
}

static void put_commands(FILE *file, const rn_commands *program) {
  put_first_sentence(file, program->about);
  fputs(".SH SYNOPSIS\n", file);
  for (int i = 0; i < program->count; i++) {
    if (i > 0) fputs(".br\n", file);
    put_synopsis(file, &program->command[i].args);
  }
  fputs(".SH DESCRIPTION\n", file);
  put_lines(file, program->about, ".br\n");
  fputs(".SH COMMANDS\n", file);
  for (int i = 0; i < program->count; i++) put_command(file, &program->command[i].args);
  fputs(".SH COMMON OPTIONS\n", file);
  const rn_arg *arg;
  for (int i = 0; (arg = rn_args_option(NULL, i)) != NULL; i++) put_option(file, arg);
}

void rn_manual_print(const rn_args *single, const rn_commands *commands, FILE *file) {
  const char *program = single != NULL ? single->program : commands->program;
  const char *version = rn_version_text();
  fputs(".TH \"", file);
  for (const char *c = program; *c != '\0'; c++) {
    fputc(*c == ' ' ? '-' : toupper((unsigned char)*c), file);
  }
  fprintf(file, "\" 1 \"\" \"retnet %.*s\" \"User Commands\"\n.SH NAME\n",
          (int)strcspn(version, " ,"), version);
  put(file, program);
  fputs(" \\- ", file);
  if (single != NULL) {
    put_single(file, single);
  } else {
    put_commands(file, commands);
  }
  fputs(
      ".SH EXIT STATUS\n0: success, even if the run was asked to stop. 1: an error, which is "
      "printed on standard error. 2: wrong usage or configuration. 3: no progress "
      "(run.watchdog_s). 4: too many consecutive steps whose loss or gradient norm is not finite. "
      "75: stopped before the last step, with run.requeue_exit.\n"
      ".SH SEE ALSO\nretnet\\-data(1), retnet\\-train(1), retnet\\-eval(1), "
      "retnet\\-generate(1), retnet\\-ckpt(1), retnet\\-bench(1), retnet\\-report(1)\n",
      file);
}
