#include "proto/cli/completion.h"

#include <stdbool.h>
#include <string.h>

#include "proto/options/options.h"

/* Writes the name of a program's shell function; for retnet-train it is _retnet_train. */
static void put_name(FILE *file, const char *program) {
  fputc('_', file);
  for (const char *c = program; *c != '\0'; c++) fputc(*c == '-' ? '_' : *c, file);
}

/* Writes the words of "a|b" with spaces between them. */
static void put_words(FILE *file, const char *words) {
  for (const char *c = words; *c != '\0'; c++) fputc(*c == '|' ? ' ' : *c, file);
}

/* True for a value that is one of several words, such as "man|bash". */
static bool is_choice(const char *value) {
  return value != NULL && strchr(value, '|') != NULL && strpbrk(value, "[]<>: ='\"$`\\") == NULL;
}

/* Writes a case for each option that takes a value. The case completes the possible words or, for
 * other values, file names. */
static void put_values(FILE *file, const rn_args *args) {
  const rn_arg *arg;
  for (int i = 0; (arg = rn_args_option(args, i)) != NULL; i++) {
    if (arg->value == NULL || (arg->letter == 's' && arg->name == NULL)) continue;
    if (arg->name != NULL) fprintf(file, "        --%s) ", arg->name);
    if (arg->name == NULL) fprintf(file, "        -%c) ", arg->letter);
    if (is_choice(arg->value)) {
      fputs("words='", file);
      put_words(file, arg->value);
      fputs("' ;;\n", file);
    } else {
      fputs("return ;;\n", file);
    }
  }
}

static void put_options(FILE *file, const rn_args *args) {
  const rn_arg *arg;
  for (int i = 0; (arg = rn_args_option(args, i)) != NULL; i++) {
    if (arg->name != NULL) fprintf(file, " --%s", arg->name);
    if (arg->name == NULL) fprintf(file, " -%c", arg->letter);
  }
}

static bool takes_keys(const rn_args *args) {
  for (int i = 0; i < args->count; i++) {
    if (args->options[i].letter == 's' && args->options[i].name == NULL) return true;
  }
  return false;
}

/* Writes the code that completes one command line: the values of options, then the options. */
static void put_line(FILE *file, const rn_args *args) {
  fputs("      case $previous in\n", file);
  if (takes_keys(args)) fputs("        -s) words=$keys; compopt -o nospace ;;\n", file);
  put_values(file, args);
  fputs("        *) [[ $current == -* ]] && words='", file);
  put_options(file, args);
  fputs("' ;;\n      esac\n", file);
}

static void put_key_name(void *self, const rn_options_help *help) {
  fprintf(self, " %s.%s=", help->section, help->name);
}

static void put_key_words(void *self, const rn_options_help *help) {
  const bool truth = strcmp(help->value, "true") == 0 || strcmp(help->value, "false") == 0;
  const char *words = is_choice(help->domain) ? help->domain : truth ? "true|false" : NULL;
  if (words == NULL) return;
  fprintf(self, "      %s.%s) words='", help->section, help->name);
  put_words(self, words);
  fputs("' ;;\n", self);
}

/* Writes the code that completes the values of keys. Bash splits "key=value" into three words. */
static void put_keys(FILE *file) {
  fputs("  local key='' keys='", file);
  rn_options_each_help(put_key_name, file);
  fputs(
      "'\n  [[ $current == = ]] && { current=; key=$previous; }\n"
      "  [[ $previous == = ]] && key=${COMP_WORDS[COMP_CWORD - 2]}\n"
      "  if [[ -n $key ]]; then\n    case $key in\n",
      file);
  rn_options_each_help(put_key_words, file);
  fputs("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n    return\n  fi\n",
        file);
}

/* Writes the code that completes the first word of a program with commands. */
static void put_first_word(FILE *file, const rn_commands *c) {
  const rn_arg *arg;
  fputs("    1:*) words='help", file);
  for (int i = 0; i < c->count; i++) fprintf(file, " %s", c->command[i].name);
  for (int i = 0; (arg = rn_args_option(NULL, i)) != NULL; i++) fprintf(file, " --%s", arg->name);
  fputs("' ;;\n    2:--generate) words='man bash' ;;\n", file);
}

static void put_commands(FILE *file, const rn_commands *c) {
  bool keys = false;
  for (int i = 0; i < c->count; i++) keys = keys || takes_keys(&c->command[i].args);
  if (keys) put_keys(file);
  fputs("  case $COMP_CWORD:${COMP_WORDS[1]} in\n", file);
  put_first_word(file, c);
  for (int i = 0; i < c->count; i++) {
    fprintf(file, "    *:%s)\n", c->command[i].name);
    put_line(file, &c->command[i].args);
    fputs("      ;;\n", file);
  }
  fputs("  esac\n", file);
}

void rn_completion_print(const rn_args *single, const rn_commands *commands, FILE *file) {
  const char *program = single != NULL ? single->program : commands->program;
  fprintf(file, "# Completion of %s for bash.\n# shellcheck shell=bash disable=SC2207\n", program);
  put_name(file, program);
  fputs(
      "() {\n  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
      "  local words=''\n  COMPREPLY=()\n",
      file);
  if (commands != NULL) put_commands(file, commands);
  if (single != NULL && takes_keys(single)) put_keys(file);
  if (single != NULL) put_line(file, single);
  fputs("  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\ncomplete -o default -F ", file);
  put_name(file, program);
  fprintf(file, " %s\n", program);
}
