/* retnet-bench: measures what this machine does with the parts of a training step. */
#include <stdio.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "proto/args.h"
#include "proto/log.h"
#include "proto/version.h"
#include "trainer/bench.h"

static rn_bench_options given;

static const rn_arg scan_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0}};

static const rn_arg step_options[] = {
    {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0},
    {0, "scan", "none", "also steps whose scan answers at once, wrongly: what the scan costs",
     RN_ARG_TEXT, &given.scan, 0, 0},
    {'s', NULL, "section.key=value", "a key of the run, such as parallel.sequence=2", RN_ARG_LIST,
     &given.keys, 0, 0}};

static const struct {
  const char *name;
  rn_args args;
  rn_status (*run)(rn_err *err, rn_world *world, const rn_bench_options *options);
} commands[] = {
    {"scan",
     {"retnet-bench scan", "[--json]",
      "The scan of states over the ranks of an mpirun: chain, doubling and exscan side by side.",
      scan_options, 1, 0, 0},
     rn_bench_scan},
    {"step",
     {"retnet-bench step", "[--json] [--scan none] [-s section.key=value]...",
      "Training steps of the reference model: 8 layers, dim 512, 2048 tokens.", step_options, 3, 0,
      0},
     rn_bench_step},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *file) {
  for (int i = 0; i < COMMANDS; i++) {
    fprintf(file, "%s %s %s\n", i == 0 ? "usage:" : "      ", commands[i].args.program,
            commands[i].args.form);
  }
}

static void print_version(void) {
  char mpi[256];
  rn_mpi_version_line(mpi, sizeof mpi);
  const char *const lines[] = {mpi};
  rn_version_print(stdout, "retnet-bench", lines, 1);
}

/* The command and its options; *run: whether there is something to measure. */
static rn_status parse(rn_err *err, int argc, char **argv, int *command, bool *run) {
  static const char *names[COMMANDS];
  const char *word = argc > 1 ? argv[1] : "";
  rn_args_found found = {0};
  *run = false;
  if (strcmp(word, "--help") == 0) print_help(stdout);
  if (strcmp(word, "--version") == 0) print_version();
  if (strcmp(word, "--help") == 0 || strcmp(word, "--version") == 0) return RN_OK;
  for (int i = 0; i < COMMANDS; i++) names[i] = commands[i].name;
  RN_TRY(err, rn_args_choose(err, "command", word, names, COMMANDS, command));
  const rn_args *args = &commands[*command].args;
  rn_status status = rn_args_parse(err, args, argc - 1, argv + 1, &found);
  if (found.help) rn_args_print_help(args, stdout);
  if (found.version) print_version();
  *run = !found.help && !found.version;
  rn_words_free(&found.words);
  return status;
}

int main(int argc, char **argv) {
  rn_err err = {0};
  rn_world *world = NULL;
  int command = 0;
  bool run = false;
  rn_status status = parse(&err, argc, argv, &command, &run);
  if (status == RN_OK && !run) return 0;
  if (status != RN_OK) {
    rn_log_error("retnet-bench", &err);
    return rn_status_exit_code(status);
  }
  status = rn_world_start(&err, &argc, &argv, &world);
  if (status == RN_OK) {
    rn_log_setup(rn_world_rank(world) != 0, given.json);
    status = commands[command].run(&err, world, &given);
  }
  rn_words_free(&given.keys);
  return rn_world_finish(&world, status, &err);
}
