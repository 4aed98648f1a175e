/* retnet-ckpt lists, shows, verifies, compares, prunes, exports and imports checkpoints. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/cli/commands.h"
#include "trainer/exchange/exchange.h"
#include "trainer/machine/program_version.h"
#include "trainer/tools/ckpt_tool.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

enum { DIFFERENT = 1, MAX_KEPT = 1000000000 };

/* The file size above which Hugging Face splits a model. */
static const int64_t DEFAULT_SHARD_BYTES = 5000000000;

/* Values of options. A count that is not given is -1. */
static struct {
  bool weights, fused_gate;
  const char *format, *out, *dtype, *shard_size;
  int64_t keep_last, keep_every;
} given = {.dtype = "fp32", .keep_last = -1, .keep_every = -1};

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

/* Reads a size as Hugging Face writes it: 5GB, 500MB, 2GiB, or a number of bytes. */
static rn_status read_size(rn_err *err, const char *text, int64_t *bytes) {
  static const struct {
    const char *name;
    double bytes;
  } units[] = {{"", 1},      {"B", 1},         {"KB", 1e3},      {"MB", 1e6},     {"GB", 1e9},
               {"TB", 1e12}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  char *end;
  double number = strtod(text, &end);
  if (strspn(text, "0123456789.") != (size_t)(end - text)) number = 0; /* reject 0x5GB and 5e3B */
  for (int i = 0; i < COUNT(units); i++) {
    const double size = number * units[i].bytes;
    if (strcasecmp(end, units[i].name) != 0 || end == text || !(size >= 1 && size < 1e18)) continue;
    *bytes = (int64_t)size;
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_USAGE, "--shard-size %s: give a size such as 5GB, 500MB or 2GiB",
                 text);
}

static rn_status export_weights(rn_err *err, const rn_words *words) {
  static const char *const formats[] = {"torchscale", "hf"};
  static const char *const dtypes[] = {"fp32", "bf16", "fp16"};
  static const rn_safetensors_type types[] = {RN_SAFETENSORS_F32, RN_SAFETENSORS_BF16,
                                              RN_SAFETENSORS_F16};
  int format, dtype;
  if (given.format == NULL) {
    return rn_fail(err, RN_ERR_USAGE, "--format torchscale or --format hf is required");
  }
  RN_TRY(err, rn_args_choose(err, "--format", given.format, formats, COUNT(formats), &format));
  RN_TRY(err, rn_args_choose(err, "--dtype", given.dtype, dtypes, COUNT(dtypes), &dtype));
  if (given.out == NULL) {
    return rn_fail(err, RN_ERR_USAGE, "--out DIR%s is required",
                   format == RN_EXPORT_HF ? "" : " or --out FILE.safetensors");
  }
  rn_export_options options = {.format = (rn_export_format)format,
                               .dtype = types[dtype],
                               .shard_bytes = format == RN_EXPORT_HF ? DEFAULT_SHARD_BYTES : 0,
                               .fused_gate = given.fused_gate};
  if (given.shard_size != NULL) {
    RN_TRY(err, read_size(err, given.shard_size, &options.shard_bytes));
  }
  return rn_export(err, words->word[0], given.out, &options);
}

static rn_status import_model(rn_err *err, const rn_words *words) {
  if (given.out == NULL) return rn_fail(err, RN_ERR_USAGE, "--out CKPT is required");
  return rn_import(err, words->word[0], given.out, stdout);
}

static const rn_arg diff_options[] = {
    {0, "weights", NULL, "compare only the weights", RN_ARG_SWITCH, &given.weights, 0, 0}};
static const rn_arg prune_options[] = {
    {0, "keep-last", "N", "number of newest checkpoints to keep; 0: all", RN_ARG_INTEGER,
     &given.keep_last, 0, MAX_KEPT},
    {0, "keep-every", "N", "also keep checkpoints whose step is a multiple of N; 0: none",
     RN_ARG_INTEGER, &given.keep_every, 0, MAX_KEPT}};
static const rn_arg export_options[] = {
    {0, "format", "torchscale|hf",
     "torchscale: for the official RetNetDecoder; hf: with a config.json for RetNetForCausalLM of "
     "flash-linear-attention or, if model.arch is transformer, for LlamaForCausalLM of "
     "transformers",
     RN_ARG_TEXT, &given.format, 0, 0},
    {0, "out", "DIR",
     "folder in which to write model.safetensors; with torchscale it can also be a file, "
     "NAME.safetensors",
     RN_ARG_PATH, &given.out, 0, 0},
    {0, "dtype", "fp32|bf16|fp16", "number format of the weights (default fp32, which is exact)",
     RN_ARG_TEXT, &given.dtype, 0, 0},
    {0, "shard-size", "SIZE",
     "maximum size of a file, such as 500MB; a larger model is split into several files with an "
     "index (default: 5GB with hf, one file with torchscale)",
     RN_ARG_TEXT, &given.shard_size, 0, 0},
    {0, "fused-gate", NULL,
     "with hf: write gate_proj and up_proj as one tensor, for versions of flash-linear-attention "
     "before February 2025",
     RN_ARG_SWITCH, &given.fused_gate, 0, 0}};
static const rn_arg import_options[] = {
    {0, "out", "CKPT", "folder of the new checkpoint", RN_ARG_PATH, &given.out, 0, 0}};

static const rn_command commands[] = {
    {"list",
     {.program = "retnet-ckpt list",
      .form = "DIR",
      .about =
          "Lists the checkpoints of a run with step, tokens, size in MB and path, including "
          "those with a wrong size and unfinished ones. Does not read their tensors: verify does.",
      .example = "retnet-ckpt list RUN",
      .min_words = 1,
      .max_words = 1},
     list},
    {"show",
     {.program = "retnet-ckpt show",
      .form = "CKPT",
      .about = "Prints step, tokens, data position, layout, automatic choices (scan, chunk, GEMM "
               "backend, kernels), build and size of a checkpoint, and the configuration keys that "
               "were set explicitly.",
      .example = "retnet-ckpt show RUN/checkpoints/step-00000100",
      .min_words = 1,
      .max_words = 1},
     show},
    {"verify",
     {.program = "retnet-ckpt verify",
      .form = "CKPT",
      .about = "Verifies every byte of a checkpoint, or of all checkpoints of a run directory. "
               "Exits with 1 if any byte is wrong.",
      .example = "retnet-ckpt verify RUN",
      .min_words = 1,
      .max_words = 1},
     verify},
    {"diff",
     {.program = "retnet-ckpt diff",
      .form = "[--weights] A B",
      .about = "Compares model configuration, weights, optimizer moments and data position of two "
               "checkpoints, independently of the layouts that wrote them. Prints 'identical' and "
               "exits with 0, or prints the differences and exits with 1.",
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
      .form = "--format torchscale|hf --out DIR [--dtype fp32|bf16|fp16] [--shard-size SIZE] "
              "[--fused-gate] CKPT",
      .about =
          "Writes the weights of a checkpoint to safetensors files for another program. A model "
          "that the program cannot compute exactly is refused; the error names the configuration "
          "key. The format hf requires model.rotary=rope_half and model.retention_scale=raw, "
          "unless the model is a transformer. The tokenizer is exported too, unless --out is "
          "NAME.safetensors. If an export fails, the files of an earlier export in DIR are not "
          "changed.",
      .example = "retnet-ckpt export --format hf --out hf RUN",
      .options = export_options,
      .count = COUNT(export_options),
      .min_words = 1,
      .max_words = 1},
     export_weights},
    {"import",
     {.program = "retnet-ckpt import",
      .form = "--out CKPT DIR",
      .about = "Makes a checkpoint from a model of RetNetForCausalLM (flash-linear-attention), of "
               "LlamaForCausalLM (transformers) or of torchscale's RetNetDecoder, for "
               "checkpoint.init_from, retnet-eval and retnet-generate. DIR is a folder with "
               "config.json and safetensors, or a safetensors file that export wrote. A model that "
               "this program cannot represent exactly is refused. Prints the model section that a "
               "configuration needs to train from the checkpoint.",
      .example = "retnet-ckpt import --out imported retnet-1.3B-100B",
      .options = import_options,
      .count = COUNT(import_options),
      .min_words = 1,
      .max_words = 1},
     import_model},
};

int main(int argc, char **argv) {
  const rn_commands all = {
      "retnet-ckpt",
      "Lists, inspects, verifies, compares, prunes, exports and imports checkpoints. DIR is a run "
      "directory. CKPT, A and B are the folder of a checkpoint (step-N) or a run directory, whose "
      "newest valid checkpoint is then used.",
      commands, COUNT(commands), rn_program_version};
  const int code = rn_commands_main(&all, argc, argv);
  return code == 0 && !identical ? DIFFERENT : code;
}
