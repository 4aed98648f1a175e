#include "proto/cli/commands.h"

#include <assert.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/base/wrap.h"
#include "proto/cli/completion.h"
#include "proto/cli/launched.h"
#include "proto/cli/manual.h"
#include "proto/cli/program.h"

static void print_help(const rn_commands *c) {
  if (!rn_launched_prints()) return;
  printf("usage: %s COMMAND ...\n       %s help COMMAND\n\n", c->program, c->program);
  rn_wrap_print(stdout, c->about, 0, 0);
  for (int i = 0; i < c->count; i++) {
    fputc('\n', stdout);
    rn_args_print_section(&c->command[i].args, stdout);
  }
  printf("\nEvery command also accepts:\n");
  rn_args_print_common(stdout);
}

static rn_status find(rn_err *err, const rn_commands *c, const char *word, const rn_command **out) {
  const char *names[RN_COMMANDS_MAX];
  int index = 0;
  assert(c->count <= RN_COMMANDS_MAX);
  for (int i = 0; i < c->count; i++) names[i] = c->command[i].name;
  RN_TRY(err, rn_args_choose(err, "command", word, names, c->count, &index));
  *out = &c->command[index];
  return RN_OK;
}

/* Implements `help [COMMAND]`. */
static rn_status answer_help(rn_err *err, const rn_commands *c, int argc, char *const *argv) {
  const rn_command *command = NULL;
  if (argc > 3) {
    return rn_fail(err, RN_ERR_USAGE, "unexpected argument %s; usage: %s help COMMAND", argv[3],
                   c->program);
  }
  if (argc < 3) {
    print_help(c);
    return RN_OK;
  }
  RN_TRY(err, find(err, c, argv[2], &command));
  if (rn_launched_prints()) rn_args_print_help(&command->args, stdout);
  return RN_OK;
}

/* Implements `--generate KIND`. */
static rn_status answer_generate(rn_err *err, const rn_commands *c, int argc, char *const *argv) {
  if (argc != 3) {
    return rn_fail(err, RN_ERR_USAGE, "usage: %s --generate man|bash", c->program);
  }
  RN_TRY(err, rn_args_check_generate(err, argv[2]));
  if (!rn_launched_prints()) return RN_OK;
  (strcmp(argv[2], "man") == 0 ? rn_manual_print : rn_completion_print)(NULL, c, stdout);
  return RN_OK;
}

rn_status rn_commands_parse(rn_err *err, const rn_commands *c, int argc, char *const *argv,
                            const rn_command **out, rn_words *words) {
  const char *word = argc > 1 ? argv[1] : "";
  rn_args_found found = {0};
  const rn_command *command = NULL;
  *out = NULL;
  if (strcmp(word, "help") == 0) return answer_help(err, c, argc, argv);
  const bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0,
             version = strcmp(word, "--version") == 0;
  if (help) print_help(c);
  if (version && rn_launched_prints()) c->print_version(c->program);
  if (strcmp(word, "--generate") == 0) return answer_generate(err, c, argc, argv);
  if (help || version) return RN_OK;
  RN_TRY(err, find(err, c, word, &command));
  rn_status status = rn_args_parse(err, &command->args, argc - 1, argv + 1, &found);
  const bool answered = status == RN_OK && rn_args_answer(&command->args, &found, c->print_version);
  if (status == RN_OK && !answered) *out = command;
  *words = found.words;
  return status;
}

/* Returns true if this process does the work. If a launcher has started several ranks, only the
 * first does, and warns about it. */
static bool does_the_work(const rn_commands *c) {
  const rn_launched launched = rn_launched_detect();
  if (launched.ranks > 1 && launched.rank == 0) {
    rn_log_warn(
        "%s runs as one process, but %d ranks were started: only rank 0 does the work, and "
        "the arguments of the other ranks are ignored; start one process per command, with "
        "srun -n 1 or without a launcher",
        c->program, launched.ranks);
  }
  return launched.rank == 0;
}

int rn_commands_main(const rn_commands *c, int argc, char *const *argv) {
  rn_err err = {0};
  rn_words words = {0};
  const rn_command *command = NULL;
  rn_program_start();
  rn_status status = rn_commands_parse(&err, c, argc, argv, &command, &words);
  if (status == RN_OK && command != NULL && does_the_work(c)) status = command->run(&err, &words);
  rn_words_free(&words);
  return rn_program_finish(c->program, status, &err);
}
