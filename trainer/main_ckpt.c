/* retnet-ckpt: lists, shows, verifies, compares, prunes and exports checkpoints. */
#include <string.h>

#include "proto/cli/commands.h"
#include "trainer/machine/program_version.h"
#include "trainer/tools/ckpt_tool.h"

enum { DIFFERENT = 1, MOST_KEPT = 1000000000 };

/* Values of options; a count that is not given is -1. */
static struct {
  bool weights;
  const char *format, *out;
  int64_t keep_last, keep_every;
} given = {.keep_last = -1, .keep_every = -1};

static bool identical = true;

static rn_status list(rn_err *err, const rn_words *words) {
  return rn_ckpt_tool_list(err, words->word[0], stdout);
}

static rn_status show(rn_err *err, const rn_words *words) {
  return rn_ckpt_tool_show(err, words->word[0], stdout);
}

static rn_status verify(rn_err *err, const rn_words *words) {
  return rn_ckpt_tool_verify(err, words->word[0], stdout);
}

static rn_status diff(rn_err *err, const rn_words *words) {
  return rn_ckpt_tool_diff(err, words->word[0], words->word[1], given.weights, stdout, &identical);
}

static rn_status prune(rn_err *err, const rn_words *words) {
  return rn_ckpt_tool_prune(err, words->word[0], given.keep_last, given.keep_every);
}

static rn_status export_weights(rn_err *err, const rn_words *words) {
  if (given.format == NULL) return rn_fail(err, RN_ERR_USAGE, "--format is missing: torchscale");
  if (given.out == NULL) return rn_fail(err, RN_ERR_USAGE, "--out is missing: FILE.safetensors");
  if (strcmp(given.format, "torchscale") != 0) {
    return rn_fail(err, RN_ERR_USAGE, "--format %s: this version has only torchscale",
                   given.format);
  }
  return rn_ckpt_tool_export(err, words->word[0], given.out);
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
    {0, "out", "FILE", "X.safetensors, or a folder that gets model.safetensors", RN_ARG_PATH,
     &given.out, 0, 0}};

/* CKPT is a step folder, or a run directory, which selects its newest valid checkpoint. */
static const rn_command commands[] = {
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

int main(int argc, char **argv) {
  const rn_commands all = {
      "retnet-ckpt",
      "DIR is a run's directory, CKPT a step's folder or a run's directory (its newest good one).",
      commands, (int)(sizeof commands / sizeof commands[0]), rn_program_version};
  const int code = rn_commands_main(&all, argc, argv);
  return code == 0 && !identical ? DIFFERENT : code;
}
