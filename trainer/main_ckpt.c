/* retnet-ckpt: lists, shows, verifies, compares, prunes and exports checkpoints. */
#include <string.h>
#include <zstd.h>

#include "proto/args.h"
#include "proto/log.h"
#include "proto/version.h"
#include "trainer/ckpt_tool.h"

enum { DIFFERENT = 1, MOST_KEPT = 1000000000 };

/* Values of options; a count that was not given is -1. */
static struct {
  bool weights;
  const char *format, *out;
  int64_t keep_last, keep_every;
} given = {.keep_last = -1, .keep_every = -1};

static bool identical = true;

static rn_status list(rn_err *err, const char *const *word) {
  return rn_ckpt_tool_list(err, word[0], stdout);
}

static rn_status show(rn_err *err, const char *const *word) {
  return rn_ckpt_tool_show(err, word[0], stdout);
}

static rn_status verify(rn_err *err, const char *const *word) {
  return rn_ckpt_tool_verify(err, word[0], stdout);
}

static rn_status diff(rn_err *err, const char *const *word) {
  return rn_ckpt_tool_diff(err, word[0], word[1], given.weights, stdout, &identical);
}

static rn_status prune(rn_err *err, const char *const *word) {
  return rn_ckpt_tool_prune(err, word[0], given.keep_last, given.keep_every);
}

static rn_status export_weights(rn_err *err, const char *const *word) {
  if (given.format == NULL) return rn_fail(err, RN_ERR_USAGE, "--format is missing: torchscale");
  if (given.out == NULL) return rn_fail(err, RN_ERR_USAGE, "--out is missing: FILE.safetensors");
  if (strcmp(given.format, "torchscale") != 0) {
    return rn_fail(err, RN_ERR_USAGE, "--format %s: this version has only torchscale",
                   given.format);
  }
  return rn_ckpt_tool_export(err, word[0], given.out);
}

static const rn_arg diff_options[] = {
    {0, "weights", NULL, "compare the weights alone", RN_ARG_SWITCH, &given.weights, 0, 0}};
static const rn_arg prune_options[] = {
    {0, "keep-last", "N", "how many of the newest stay, 0: all (default: as the run's config)",
     RN_ARG_INTEGER, &given.keep_last, 0, MOST_KEPT},
    {0, "keep-every", "N", "steps that are multiples stay, 0: none (default: as the run's config)",
     RN_ARG_INTEGER, &given.keep_every, 0, MOST_KEPT}};
static const rn_arg export_options[] = {
    {0, "format", "FORMAT", "torchscale", RN_ARG_TEXT, &given.format, 0, 0},
    {0, "out", "FILE", "X.safetensors, or a folder that gets model.safetensors", RN_ARG_TEXT,
     &given.out, 0, 0}};

/* CKPT is a step's folder, or a run's directory: its newest good one. */
static const struct {
  const char *name;
  rn_args args;
  rn_status (*run)(rn_err *err, const char *const *word);
} commands[] = {
    {"list", {"retnet-ckpt list", "DIR", "Checkpoints of a run.", NULL, 0, 1, 1}, list},
    {"show", {"retnet-ckpt show", "CKPT", "What a checkpoint holds.", NULL, 0, 1, 1}, show},
    {"verify",
     {"retnet-ckpt verify", "CKPT",
      "Checks every byte; of a run's directory, every checkpoint. Exit 1 for any difference.", NULL,
      0, 1, 1},
     verify},
    {"diff",
     {"retnet-ckpt diff", "A B [--weights]",
      "Compares what two checkpoints mean. Exit 0 when identical, 1 when not.", diff_options, 1, 2,
      2},
     diff},
    {"prune",
     {"retnet-ckpt prune", "DIR [--keep-last N] [--keep-every N]", "Removes old checkpoints.",
      prune_options, 2, 1, 1},
     prune},
    {"export",
     {"retnet-ckpt export", "CKPT --format torchscale --out FILE",
      "Writes the weights for other programs.", export_options, 2, 1, 1},
     export_weights},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *file) {
  for (int i = 0; i < COMMANDS; i++) {
    fprintf(file, "%s %s %s\n", i == 0 ? "usage:" : "      ", commands[i].args.program,
            commands[i].args.form);
  }
  fprintf(file,
          "\nDIR is a run's directory, CKPT a step's folder or a run's directory (its newest good "
          "one).\n");
}

static void print_version(void) {
  char zstd[64];
  snprintf(zstd, sizeof zstd, "zstd: %s", ZSTD_versionString());
  const char *const lines[] = {zstd};
  rn_version_print(stdout, "retnet-ckpt", lines, 1);
}

static rn_status run(rn_err *err, int command, int argc, char *const *argv) {
  const rn_args *args = &commands[command].args;
  rn_args_found found = {0};
  rn_status status = rn_args_parse(err, args, argc, argv, &found);
  if (status == RN_OK && found.help) {
    rn_args_print_help(args, stdout);
  } else if (status == RN_OK && found.version) {
    print_version();
  } else if (status == RN_OK) {
    status = commands[command].run(err, found.words.word);
  }
  if (status == RN_OK && fflush(stdout) != 0) {
    status = rn_fail(err, RN_ERR_IO, "cannot write to standard output");
  }
  rn_words_free(&found.words);
  return status;
}

int main(int argc, char **argv) {
  static const char *names[COMMANDS];
  rn_err err = {0};
  int command = 0;
  if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "--version") == 0)) {
    if (strcmp(argv[1], "--help") == 0) print_help(stdout);
    if (strcmp(argv[1], "--version") == 0) print_version();
    return 0;
  }
  for (int i = 0; i < COMMANDS; i++) names[i] = commands[i].name;
  rn_status status =
      rn_args_choose(&err, "command", argc > 1 ? argv[1] : "", names, COMMANDS, &command);
  if (status == RN_OK) status = run(&err, command, argc - 1, argv + 1);
  if (status != RN_OK) rn_log_error("retnet-ckpt", &err);
  if (status == RN_OK && !identical) return DIFFERENT;
  return rn_status_exit_code(status);
}
