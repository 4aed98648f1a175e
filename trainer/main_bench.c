/* retnet-bench benchmarks the components of a training step, and decoding, on this machine. */
#include <stdio.h>

#include "model/base/blas.h"
#include "proto/base/log.h"
#include "proto/base/quantile.h"
#include "proto/cli/commands.h"
#include "proto/cli/program.h"
#include "trainer/bench/bench.h"
#include "trainer/launch/blas_check.h"
#include "trainer/launch/host_check.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/program_version.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static rn_bench_options given;
static rn_world *world;

#define JSON_OPTION \
  { 0, "json", NULL, "print one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0 }
#define ROUNDS_OPTION(help) \
  { 0, "rounds", "N", help, RN_ARG_INTEGER, &given.rounds, 1, RN_QUANTILE_MAX }
#define PRECISION_OPTION(help) \
  { 0, "precision", "fp32|bf16", help, RN_ARG_TEXT, &given.precision, 0, 0 }
#define KEY_OPTION(example)                                                                       \
  {                                                                                               \
    's', NULL, "section.key=value", "set a configuration key, for example " example, RN_ARG_LIST, \
        &given.keys, 0, 0                                                                         \
  }

static const rn_arg scan_options[] = {JSON_OPTION};

static const rn_arg attention_options[] = {
    JSON_OPTION, PRECISION_OPTION("number format of q, k, v and o (default fp32)"),
    ROUNDS_OPTION("samples of each measurement (default 7)"), KEY_OPTION("model.kv_heads=2")};

static const rn_arg gemm_options[] = {
    JSON_OPTION, PRECISION_OPTION("number format of the operands (default fp32)"),
    ROUNDS_OPTION("samples of each product (default 7)"), KEY_OPTION("parallel.threads=2")};

static const rn_arg io_options[] = {
    JSON_OPTION,
    {0, "dir", "DIR", "folder for the files (default: current directory)", RN_ARG_PATH, &given.dir,
     0, 0},
    ROUNDS_OPTION("samples of each measurement (default 3)"),
    KEY_OPTION("checkpoint.level=3")};

static const rn_arg kernels_options[] = {JSON_OPTION,
                                         ROUNDS_OPTION("samples of each kernel (default 5)"),
                                         KEY_OPTION("model.chunk=256")};

static const rn_arg decode_options[] = {
    JSON_OPTION,
    PRECISION_OPTION("number format of the weights (default fp32)"),
    {0, "positions", "LIST",
     "measure only at these positions in the text, for example 1024,8192 (1000 if only numbers of "
     "sequences are given)",
     RN_ARG_TEXT, &given.positions, 0, 0},
    {0, "sequences", "LIST",
     "measure only with these numbers of sequences, at each position, for example 1,4,16 (1 if "
     "only positions are given)",
     RN_ARG_TEXT, &given.sequences, 0, 0},
    ROUNDS_OPTION("samples of each measurement (default 11)"),
    KEY_OPTION("parallel.threads=2")};

static const rn_arg ranks_options[] = {
    JSON_OPTION,
    PRECISION_OPTION("number format of activations and matrix products (default fp32)"),
    {0, "steps", "N", "number of timed pairs of steps (default 10)", RN_ARG_INTEGER, &given.rounds,
     1, RN_QUANTILE_MAX},
    KEY_OPTION("parallel.threads=1")};

static const rn_arg step_options[] = {
    JSON_OPTION,
    PRECISION_OPTION("number format of activations and matrix products (default fp32)"),
    {0, "steps", "N", "number of timed steps (default 10)", RN_ARG_INTEGER, &given.rounds, 1,
     RN_QUANTILE_MAX},
    {0, "threads", "LIST",
     "measure with each of these numbers of threads, for example 1,2,4,8, and show how the step "
     "scales",
     RN_ARG_TEXT, &given.threads, 0, 0},
    {0, "scan", "none",
     "also time steps without the scan (their results are wrong), to show what the scan costs",
     RN_ARG_TEXT, &given.scan, 0, 0},
    KEY_OPTION("parallel.sequence=2")};

static rn_status attention(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_attention(err, world, &given);
}

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

static rn_status ranks(rn_err *err, const rn_words *words) {
  (void)words;
  return rn_bench_ranks(err, world, &given);
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
    {"attention",
     {.program = "retnet-bench attention",
      .form = "[--json] [--precision fp32|bf16] [--rounds N] [-s section.key=value]...",
      .about =
          "Times softmax attention without its projections, forward and backward, and compares "
          "it with the best GEMM rate. The default is one sequence of 2048 tokens and 8 heads "
          "of 64 channels.",
      .example = "retnet-bench attention -s data.batch_sequences=4",
      .options = attention_options,
      .count = COUNT(attention_options)},
     attention},
    {"decode",
     {.program = "retnet-bench decode",
      .form = "[--json] [--precision fp32|bf16] [--positions LIST] [--sequences LIST] [--rounds N] "
              "[-s section.key=value]...",
      .about = "Times the decoding of tokens, for one and for several sequences and at different "
               "positions, and compares the rates with the limit that the memory bandwidth sets.",
      .example = "retnet-bench decode --precision bf16 -s parallel.threads=2",
      .options = decode_options,
      .count = COUNT(decode_options)},
     decode},
    {"gemm",
     {.program = "retnet-bench gemm",
      .form = "[--json] [--precision fp32|bf16] [--rounds N] [-s section.key=value]...",
      .about = "Times small and large matrix products with each GEMM library of this build. The "
               "threads divide a product by rows, by tiles, or by tiles after the weight is packed "
               "(the rate includes packing), or each thread computes a product of its own.",
      .example = "retnet-bench gemm --precision bf16",
      .options = gemm_options,
      .count = COUNT(gemm_options)},
     gemm},
    {"io",
     {.program = "retnet-bench io",
      .form = "[--json] [--dir DIR] [--rounds N] [-s section.key=value]...",
      .about = "Measures how fast shards and checkpoints are written and read, compared with a "
               "plain file. The files are removed afterwards.",
      .example = "mpirun -np 4 retnet-bench io --dir /scratch",
      .options = io_options,
      .count = COUNT(io_options)},
     io},
    {"kernels",
     {.program = "retnet-bench kernels",
      .form = "[--json] [--rounds N] [-s section.key=value]...",
      .about = "Times each kernel of a model with each instruction set of this CPU, and compares "
               "it with its limit: the GEMM rate or the memory bandwidth.",
      .example = "retnet-bench kernels -s parallel.threads=2",
      .options = kernels_options,
      .count = COUNT(kernels_options)},
     kernels},
    {"ranks",
     {.program = "retnet-bench ranks",
      .form = "[--json] [--precision fp32|bf16] [--steps N] [-s section.key=value]...",
      .about = "Times pairs of training steps with the same amount of work. In one step of a pair, "
               "all ranks share each sequence; in the other, each rank has sequences of its own. "
               "data.sequence_length and data.batch_sequences are per rank.",
      .example = "mpirun -np 2 retnet-bench ranks -s parallel.threads=1",
      .options = ranks_options,
      .count = COUNT(ranks_options)},
     ranks},
    {"scan",
     {.program = "retnet-bench scan",
      .form = "[--json]",
      .about =
          "Times the state scan over all ranks with the algorithms chain, doubling and exscan, for "
          "states of 1 KiB to 16 MiB, and predicts it for 64 and 512 ranks with a cost model.",
      .example = "mpirun -np 8 retnet-bench scan",
      .options = scan_options,
      .count = COUNT(scan_options)},
     scan},
    {"step",
     {.program = "retnet-bench step",
      .form = "[--json] [--precision fp32|bf16] [--steps N] [--threads LIST] [--scan none] [-s "
              "section.key=value]...",
      .about =
          "Times training steps on synthetic tokens, and compares them with the time of their "
          "matrix products alone and with the best GEMM rate. The default model has 8 layers, dim "
          "512 and one sequence of 2048 tokens. With --threads it also prints, for each number of "
          "threads, how long each subphase takes, how many tasks its loops have and how busy the "
          "threads are. With --json, `subphases` has for each subphase, on rank 0: its share of "
          "the step, the number of tasks per step, busy (time of all tasks / time of all threads) "
          "and longest_task (time of the longest task / mean time of the subphase). "
          "modelled_efficiency is the efficiency that a simulation of the tasks predicts.",
      .example = "mpirun -np 2 retnet-bench step -s parallel.sequence=2",
      .options = step_options,
      .count = COUNT(step_options)},
     step},
};

int main(int argc, char **argv) {
  const rn_commands all = {
      "retnet-bench",
      "Benchmarks the parts of a training step, and decoding, on this machine. Under mpirun all "
      "ranks measure at the same time. Each command prints a table, or one JSON object with "
      "--json. retnet-train --help lists the configuration keys.",
      commands, COUNT(commands), rn_program_version};
  rn_err err = {0};
  rn_words words = {0};
  const rn_command *command = NULL;
  rn_program_start();
  rn_status status = rn_commands_parse(&err, &all, argc, argv, &command, &words);
  if (status != RN_OK || command == NULL) {
    rn_words_free(&words);
    return rn_program_finish("retnet-bench", status, &err);
  }
  rn_err blas = {0};
  const rn_status loaded = rn_blas_load(&blas);
  status = rn_launch(&err, &argc, &argv, NULL, &given.keys, &world);
  if (status == RN_OK) {
    rn_log_setup(rn_world_rank(world) != 0, given.json);
    status = rn_blas_agree(&err, world, loaded, &blas);
  }
  if (status == RN_OK) {
    rn_blas_report();
    status = rn_host_check_program(&err, world);
  }
  if (status == RN_OK) status = rn_host_check(&err, world, false);
  if (status == RN_OK) status = command->run(&err, &words);
  rn_words_free(&given.keys);
  rn_words_free(&words);
  return rn_world_finish(&world, status, &err);
}
