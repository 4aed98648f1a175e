/* retnet-ckpt: lists, shows, verifies, compares, prunes and exports checkpoints. */
#include <stdlib.h>
#include <string.h>

#include "trainer/ckpt_tool.h"

enum { DIFFERENT = 1, MOST_OPERANDS = 2 };

static const char usage[] =
    "usage: retnet-ckpt list DIR\n"
    "       retnet-ckpt show CKPT\n"
    "       retnet-ckpt verify CKPT\n"
    "       retnet-ckpt diff A B [--weights]\n"
    "       retnet-ckpt prune DIR [--keep-last N] [--keep-every N]\n"
    "       retnet-ckpt export CKPT --format torchscale --out FILE\n\n"
    "DIR: a run's directory. CKPT: a step's folder, or a run's directory for its newest good one.\n"
    "diff exits with 0 when identical, 1 when different. prune takes the rules that are not given\n"
    "from the newest checkpoint's config. export writes FILE.safetensors, or into a folder.\n";

/* A command line: the command's operands and the values of options, NULL where not given. */
typedef struct command_line {
  const char *operand[MOST_OPERANDS];
  int operands;
  const char *format, *out, *keep_last, *keep_every;
  bool weights;
} command_line;

static rn_status bad_usage(rn_err *err, const char *what, const char *word) {
  return rn_fail(err, RN_ERR_USAGE, "%s%s\n%s", what, word, usage);
}

static const char **option_place(command_line *line, const char *name) {
  if (strcmp(name, "--format") == 0) return &line->format;
  if (strcmp(name, "--out") == 0) return &line->out;
  if (strcmp(name, "--keep-last") == 0) return &line->keep_last;
  if (strcmp(name, "--keep-every") == 0) return &line->keep_every;
  return NULL;
}

static rn_status read_line(rn_err *err, int argc, char **argv, command_line *line) {
  for (int i = 0; i < argc; i++) {
    const char **place = option_place(line, argv[i]);
    if (place != NULL && i + 1 == argc) return bad_usage(err, "a value is missing for ", argv[i]);
    if (place != NULL) {
      *place = argv[++i];
    } else if (strcmp(argv[i], "--weights") == 0) {
      line->weights = true;
    } else if (argv[i][0] == '-') {
      return bad_usage(err, "unknown option ", argv[i]);
    } else if (line->operands == MOST_OPERANDS) {
      return bad_usage(err, "one too many: ", argv[i]);
    } else {
      line->operand[line->operands++] = argv[i];
    }
  }
  return RN_OK;
}

static rn_status read_count(rn_err *err, const char *name, const char *text, int64_t *out) {
  char *end = NULL;
  *out = -1;
  if (text == NULL) return RN_OK;
  *out = strtoll(text, &end, 10);
  if (end == text || *end != '\0' || *out < 0 || *out > INT32_MAX) {
    return bad_usage(err, "a number from 0 on is wanted for ", name);
  }
  return RN_OK;
}

static rn_status prune(rn_err *err, const command_line *line) {
  int64_t keep_last, keep_every;
  RN_TRY(err, read_count(err, "--keep-last", line->keep_last, &keep_last));
  RN_TRY(err, read_count(err, "--keep-every", line->keep_every, &keep_every));
  return rn_ckpt_tool_prune(err, line->operand[0], keep_last, keep_every);
}

static rn_status export_weights(rn_err *err, const command_line *line) {
  if (line->format == NULL || line->out == NULL) {
    return bad_usage(err, "export wants --format and --out", "");
  }
  if (strcmp(line->format, "torchscale") != 0) {
    return bad_usage(err, "this version has only --format torchscale, not ", line->format);
  }
  return rn_ckpt_tool_export(err, line->operand[0], line->out);
}

static rn_status run(rn_err *err, const char *command, const command_line *line, bool *identical) {
  static const char *const commands[] = {"list", "show", "verify", "prune", "export", "diff"};
  int operands = strcmp(command, "diff") == 0 ? 2 : 1, known = 0;
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    known |= strcmp(command, commands[i]) == 0;
  }
  if (!known) return bad_usage(err, "there is no command ", command);
  if (line->operands != operands) {
    return bad_usage(err, operands == 1 ? "one path is wanted by " : "two paths are wanted by ",
                     command);
  }
  const char *path = line->operand[0];
  if (strcmp(command, "list") == 0) return rn_ckpt_tool_list(err, path, stdout);
  if (strcmp(command, "show") == 0) return rn_ckpt_tool_show(err, path, stdout);
  if (strcmp(command, "verify") == 0) return rn_ckpt_tool_verify(err, path, stdout);
  if (strcmp(command, "prune") == 0) return prune(err, line);
  if (strcmp(command, "export") == 0) return export_weights(err, line);
  return rn_ckpt_tool_diff(err, path, line->operand[1], line->weights, stdout, identical);
}

int main(int argc, char **argv) {
  rn_err err = {0};
  command_line line = {0};
  bool identical = true;
  if (argc > 1 && strcmp(argv[1], "--help") == 0) {
    fputs(usage, stdout);
    return 0;
  }
  rn_status status = argc < 2 ? bad_usage(&err, "a command is wanted", "")
                              : read_line(&err, argc - 2, argv + 2, &line);
  if (status == RN_OK) status = run(&err, argv[1], &line, &identical);
  if (status == RN_OK && fflush(stdout) != 0) {
    status = rn_fail(&err, RN_ERR_IO, "cannot write to standard output");
  }
  if (status != RN_OK) {
    fprintf(stderr, "retnet-ckpt: %s\n", err.text);
    return rn_status_exit_code(status);
  }
  return identical ? 0 : DIFFERENT;
}
