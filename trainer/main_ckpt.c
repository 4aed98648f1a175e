/* retnet-ckpt: lists, shows, verifies, compares, prunes and exports checkpoints. */
#include <string.h>

#include "proto/cli/commands.h"
#include "trainer/machine/program_version.h"
#include "trainer/tools/ckpt_tool.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

enum { DIFFERENT = 1, MAX_KEPT = 1000000000 };

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
  if (given.format == NULL) return rn_fail(err, RN_ERR_USAGE, "--format torchscale is required");
  if (given.out == NULL) return rn_fail(err, RN_ERR_USAGE, "--out FILE.safetensors is required");
  if (strcmp(given.format, "torchscale") != 0) {
    return rn_fail(err, RN_ERR_USAGE, "--format %s: this version supports only torchscale",
                   given.format);
  }
  return rn_ckpt_tool_export(err, words->word[0], given.out);
}

static const rn_arg diff_options[] = {
    {0, "weights", NULL, "compare only the weights", RN_ARG_SWITCH, &given.weights, 0, 0}};
static const rn_arg prune_options[] = {
    {0, "keep-last", "N", "number of newest checkpoints to keep; 0: all", RN_ARG_INTEGER,
     &given.keep_last, 0, MAX_KEPT},
    {0, "keep-every", "N", "also keep checkpoints whose step is a multiple of N; 0: none",
     RN_ARG_INTEGER, &given.keep_every, 0, MAX_KEPT}};
static const rn_arg export_options[] = {
    {0, "format", "FORMAT", "torchscale, the only format", RN_ARG_TEXT, &given.format, 0, 0},
    {0, "out", "FILE", "NAME.safetensors, or a folder in which to write model.safetensors",
     RN_ARG_PATH, &given.out, 0, 0}};

static const rn_command commands[] = {
    {"list",
     {.program = "retnet-ckpt list",
      .form = "DIR",
      .about = "Lists the checkpoints of a run with step, tokens, size in MB and path, including "
               "damaged and unfinished ones.",
      .example = "retnet-ckpt list RUN",
      .min_words = 1,
      .max_words = 1},
     list},
    {"show",
     {.program = "retnet-ckpt show",
      .form = "CKPT",
      .about = "Prints step, tokens, data position, layout, choices, build and size of a "
               "checkpoint, and the configuration keys that were set explicitly.",
      .example = "retnet-ckpt show RUN/checkpoints/step-00000100",
      .min_words = 1,
      .max_words = 1},
     show},
    {"verify",
     {.program = "retnet-ckpt verify",
      .form = "CKPT",
      .about =
          "Verifies every byte of a checkpoint, or of all checkpoints of a run directory. Exit "
          "code 1 if any byte differs.",
      .example = "retnet-ckpt verify RUN",
      .min_words = 1,
      .max_words = 1},
     verify},
    {"diff",
     {.program = "retnet-ckpt diff",
      .form = "[--weights] A B",
      .about = "Compares model configuration, weights, optimizer moments and data position of two "
               "checkpoints, whatever layout wrote them. Prints 'identical' and exits with 0, or "
               "prints the differences and exits with 1.",
      .example = "retnet-ckpt diff RUN1 RUN2",
      .options = diff_options,
      .count = COUNT(diff_options),
      .min_words = 2,
      .max_words = 2},
     diff},
    {"prune",
     {.program = "retnet-ckpt prune",
      .form = "[--keep-last N] [--keep-every N] DIR",
      .about = "Removes old checkpoints of a run. The defaults are checkpoint.keep_last and "
               "checkpoint.keep_every of the run's configuration.",
      .example = "retnet-ckpt prune --keep-last 2 RUN",
      .options = prune_options,
      .count = COUNT(prune_options),
      .min_words = 1,
      .max_words = 1},
     prune},
    {"export",
     {.program = "retnet-ckpt export",
      .form = "--format torchscale --out FILE CKPT",
      .about = "Writes the weights of a checkpoint to a safetensors file, with the tensor names of "
               "torchscale.",
      .example = "retnet-ckpt export --format torchscale --out model.safetensors RUN",
      .options = export_options,
      .count = COUNT(export_options),
      .min_words = 1,
      .max_words = 1},
     export_weights},
};

int main(int argc, char **argv) {
  const rn_commands all = {
      "retnet-ckpt",
      "Lists, inspects, verifies, compares, prunes and exports checkpoints. DIR is a run "
      "directory. "
      "CKPT, A and B are the folder of a checkpoint (step-N) or a run directory, which stands for "
      "its newest valid checkpoint.",
      commands, COUNT(commands), rn_program_version};
  const int code = rn_commands_main(&all, argc, argv);
  return code == 0 && !identical ? DIFFERENT : code;
}
