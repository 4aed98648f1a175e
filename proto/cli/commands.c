#include "proto/cli/commands.h"

#include <assert.h>
#include <string.h>

#include "proto/cli/program.h"

static void print_help(const rn_commands *c) {
  for (int i = 0; i < c->count; i++) {
    printf("%s %s %s\n", i == 0 ? "usage:" : "      ", c->command[i].args.program,
           c->command[i].args.form);
  }
  printf("\n%s\n", c->notes);
}

rn_status rn_commands_parse(rn_err *err, const rn_commands *c, int argc, char *const *argv,
                            const rn_command **out, rn_words *words) {
  const char *names[RN_COMMANDS_MAX], *word = argc > 1 ? argv[1] : "";
  rn_args_found found = {0};
  int index = 0;
  assert(c->count <= RN_COMMANDS_MAX);
  *out = NULL;
  const bool help = strcmp(word, "--help") == 0, version = strcmp(word, "--version") == 0;
  if (help) print_help(c);
  if (version) c->print_version(c->program);
  if (help || version) return RN_OK;
  for (int i = 0; i < c->count; i++) names[i] = c->command[i].name;
  RN_TRY(err, rn_args_choose(err, "command", word, names, c->count, &index));
  const rn_args *args = &c->command[index].args;
  rn_status status = rn_args_parse(err, args, argc - 1, argv + 1, &found);
  const bool answered = status == RN_OK && rn_args_answer(args, &found, c->print_version);
  if (status == RN_OK && !answered) *out = &c->command[index];
  *words = found.words;
  return status;
}

int rn_commands_main(const rn_commands *c, int argc, char *const *argv) {
  rn_err err = {0};
  rn_words words = {0};
  const rn_command *command = NULL;
  rn_program_start();
  rn_status status = rn_commands_parse(&err, c, argc, argv, &command, &words);
  if (status == RN_OK && command != NULL) status = command->run(&err, &words);
  rn_words_free(&words);
  return rn_program_finish(c->program, status, &err);
}
