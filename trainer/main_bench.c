/* retnet-bench: benchmarks the components of a training step, and decoding, on this machine. */
#include <stdio.h>

#include "model/base/blas.h"
#include "proto/base/log.h"
#include "proto/base/quantile.h"
#include "proto/cli/commands.h"
#include "proto/cli/program.h"
#include "trainer/bench/bench.h"
#include "trainer/launch/blas_check.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/program_version.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static rn_bench_options given;
static rn_world *world;

static const rn_arg scan_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0}};

static const rn_arg gemm_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0},
    {0, "precision", "fp32|bf16", "of operands", RN_ARG_TEXT, &given.precision, 0, 0},
    {0, "rounds", "N", "samples of each product (7)", RN_ARG_INTEGER, &given.rounds, 1,
     RN_QUANTILE_MAX},
    {'s', NULL, "section.key=value", "a key of the run, such as parallel.threads=2", RN_ARG_LIST,
     &given.keys, 0, 0}};

static const rn_arg io_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0},
    {0, "dir", "DIR", "folder to write in (here)", RN_ARG_PATH, &given.dir, 0, 0},
    {0, "rounds", "N", "samples (3)", RN_ARG_INTEGER, &given.rounds, 1, RN_QUANTILE_MAX},
    {'s', NULL, "section.key=value", "a key of the run, such as checkpoint.level=3", RN_ARG_LIST,
     &given.keys, 0, 0}};

static const rn_arg kernels_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0},
    {0, "rounds", "N", "samples of each kernel (5)", RN_ARG_INTEGER, &given.rounds, 1,
     RN_QUANTILE_MAX},
    {'s', NULL, "section.key=value", "a key of the run, such as model.chunk=256", RN_ARG_LIST,
     &given.keys, 0, 0}};

static const rn_arg decode_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0},
    {0, "precision", "fp32|bf16", "of weights", RN_ARG_TEXT, &given.precision, 0, 0},
    {0, "rounds", "N", "samples (11)", RN_ARG_INTEGER, &given.rounds, 1, RN_QUANTILE_MAX},
    {'s', NULL, "section.key=value", "a key of the run, such as parallel.threads=2", RN_ARG_LIST,
     &given.keys, 0, 0}};

static const rn_arg step_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0},
    {0, "precision", "fp32|bf16", "of activations and products", RN_ARG_TEXT, &given.precision, 0,
     0},
    {0, "steps", "N", "steps that are timed (10)", RN_ARG_INTEGER, &given.rounds, 1,
     RN_QUANTILE_MAX},
    {0, "threads", "LIST", "numbers of threads, such as 1,2,4,8: how the step scales", RN_ARG_TEXT,
     &given.threads, 0, 0},
    {0, "scan", "none", "also steps whose scan answers at once, wrongly: what the scan costs",
     RN_ARG_TEXT, &given.scan, 0, 0},
    {'s', NULL, "section.key=value", "a key of the run, such as parallel.sequence=2", RN_ARG_LIST,
     &given.keys, 0, 0}};

static rn_status decode(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_decode(err, world, &given);
}

static rn_status gemm(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_gemm(err, world, &given);
}

static rn_status io(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_io(err, world, &given);
}

static rn_status kernels(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_kernels(err, world, &given);
}

static rn_status scan(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_scan(err, world, &given);
}

static rn_status step(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_step(err, world, &given);
}

static const rn_command commands[] = {
    {"decode",
     {"retnet-bench decode",
      "[--json] [--precision fp32|bf16] [--rounds N] [-s section.key=value]...",
      "Tokens drawn one by one, beside the rate at which memory is read.", decode_options,
      COUNT(decode_options), 0, 0},
     decode},
    {"gemm",
     {"retnet-bench gemm",
      "[--json] [--precision fp32|bf16] [--rounds N] [-s section.key=value]...",
      "Matrix products with every GEMM library of this build, small and large.", gemm_options,
      COUNT(gemm_options), 0, 0},
     gemm},
    {"io",
     {"retnet-bench io", "[--json] [--dir DIR] [--rounds N] [-s section.key=value]...",
      "Shards and checkpoints, written and read.", io_options, COUNT(io_options), 0, 0},
     io},
    {"kernels",
     {"retnet-bench kernels", "[--json] [--rounds N] [-s section.key=value]...",
      "Each kernel of a model, beside what limits it.", kernels_options, COUNT(kernels_options), 0,
      0},
     kernels},
    {"scan",
     {"retnet-bench scan", "[--json]",
      "The scan of states over the ranks of an mpirun: chain, doubling and exscan side by side.",
      scan_options, COUNT(scan_options), 0, 0},
     scan},
    {"step",
     {"retnet-bench step",
      "[--json] [--precision fp32|bf16] [--steps N] [--threads LIST] [--scan none] [-s "
      "section.key=value]...",
      "Training steps of the reference model: 8 layers, dim 512, 2048 tokens.", step_options,
      COUNT(step_options), 0, 0},
     step},
};

int main(int argc, char **argv) {
  const rn_commands all = {"retnet-bench", "Under mpirun, all ranks measure together.", commands,
                           COUNT(commands), rn_program_version};
  rn_err err = {0};
  rn_words words = {0};
  const rn_command *command = NULL;
  rn_program_start();
  rn_status status = rn_commands_parse(&err, &all, argc, argv, &command, &words);
  if (status != RN_OK || command == NULL) return rn_program_finish("retnet-bench", status, &err);
  rn_err blas = {0};
  const rn_status loaded = rn_blas_load(&blas);
  status = rn_launch(&err, &argc, &argv, NULL, &given.keys, &world);
  if (status == RN_OK) {
    rn_log_setup(rn_world_rank(world) != 0, given.json);
    status = rn_blas_agree(&err, world, loaded, &blas);
  }
  if (status == RN_OK) {
    rn_blas_report();
    status = command->run(&err, &words);
  }
  rn_words_free(&given.keys);
  rn_words_free(&words);
  return rn_world_finish(&world, status, &err);
}
