/* retnet-train starts, continues and extends a run, always with the same command. */
#include <stdio.h>
#include <stdlib.h>

#include "comm/world/world.h"
#include "model/base/blas.h"
#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/cli/args.h"
#include "proto/cli/launched.h"
#include "proto/cli/program.h"
#include "proto/options/options.h"
#include "trainer/config/config_check.h"
#include "trainer/config/config_text.h"
#include "trainer/config/preset_check.h"
#include "trainer/estimate/plan_show.h"
#include "trainer/launch/blas_check.h"
#include "trainer/launch/host_check.h"
#include "trainer/launch/launch.h"
#include "trainer/launch/stop_request.h"
#include "trainer/machine/program_version.h"
#include "trainer/train/train.h"

enum { EXIT_REQUEUE = 75 };

typedef struct options {
  rn_words overrides;
  bool plan;
  int64_t ranks;
  rn_args_found found;
  rn_config_text text;
  rn_options_locations locations;
} options;

/* Sets *run to false if the command line has --help or --version, which are handled here. */
static rn_status parse(rn_err *err, int argc, char **argv, options *o, bool *run) {
  const rn_arg table[] = {
      {'s', NULL, "section.key=value", "override a configuration key; may be repeated", RN_ARG_LIST,
       &o->overrides, 0, 0},
      {0, "plan", NULL,
       "print layout, memory, messages and estimated time of the run without training",
       RN_ARG_SWITCH, &o->plan, 0, 0},
      {0, "ranks", "N", "with --plan: plan for N ranks without launching them", RN_ARG_INTEGER,
       &o->ranks, 1, 1 << 24}};
  const rn_args args = {
      .program = "retnet-train",
      .form = "CONFIG.yaml [-s section.key=value]... [--plan [--ranks N]]",
      .about =
          "Starts, continues or extends the training run in the directory run.dir (RUN below).\n\n"
          "The effective configuration is written to RUN/config.yaml, which can be used as "
          "CONFIG.yaml. If that file was edited, or not written by this version, it is kept, and "
          "the configuration is written to RUN/effective.yaml.\n\n"
          "--plan also shows the origin of each value. If a plan for --ranks N does not fit into "
          "memory, --plan prints a warning and exits with 0; a run would be refused.\n\n"
          "Only one job at a time may write to a run directory. RUN/lock names the owner and holds "
          "its heartbeat; a second job is refused. The lock of a dead process on this host is "
          "taken over immediately; the lock of a process on another host is taken over after 60 s "
          "without a heartbeat. Programs that only read need no lock.",
      .example =
          "mpirun -np 64 retnet-train run.yaml -s parallel.sequence=8\n"
          "retnet-train run.yaml --plan --ranks 64",
      .options = table,
      .count = (int)(sizeof table / sizeof table[0]),
      .min_words = 1,
      .max_words = 1,
      .config_keys = true};
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  if (o->ranks > 0 && !o->plan) return rn_fail(err, RN_ERR_USAGE, "--ranks requires --plan");
  *run = !rn_args_answer(&args, &o->found, rn_program_version);
  return RN_OK;
}

static rn_status load(rn_err *err, options *o, Retnet__Config **config) {
  RN_TRY(err, rn_options_load_text(err,
                                   &(rn_options_input){o->text.path, o->text.text, o->text.bytes,
                                                       o->overrides.word, o->overrides.count},
                                   &o->locations, config));
  RN_TRY(err, rn_options_require(err, *config, "run.dir"));
  RN_TRY(err, rn_options_require(err, *config, "data.dir"));
  RN_TRY(err, rn_config_check(err, *config));
  return rn_preset_check(err, *config, &o->locations);
}

/* Checks that all ranks have the same configuration. */
static rn_status check_same(rn_err *err, rn_world *world, const Retnet__Config *config) {
  const size_t bytes = retnet__config__get_packed_size(config);
  uint8_t *packed;
  rn_status status = rn_alloc(err, "the configuration", bytes + 1, 1, &packed);
  if ((status = rn_agree(err, world, status)) == RN_OK) {
    retnet__config__pack(config, packed);
    status = rn_world_check_same(err, world, "the configuration", packed, bytes);
  }
  free(packed);
  return status;
}

/* Starts MPI, compares the ranks, and loads the configuration. */
static rn_status start(rn_err *err, int *argc, char ***argv, options *o, rn_world **world,
                       Retnet__Config **config) {
  rn_config_text_peek(o->found.words.word[0], &o->text);
  rn_err blas = {0};
  const rn_status loaded = rn_blas_load(&blas);
  RN_TRY(err, o->plan ? rn_world_open(err, argc, argv, world)
                      : rn_launch(err, argc, argv, &o->text, &o->overrides, world));
  rn_log_setup(rn_world_rank(*world) != 0, false);
  RN_TRY(err, rn_blas_agree(err, *world, loaded, &blas));
  rn_blas_report();
  RN_TRY(err, rn_host_check_program(err, *world));
  RN_TRY(err, rn_config_text_broadcast(err, *world, &o->text));
  RN_TRY(err, rn_agree(err, *world, load(err, o, config)));
  RN_TRY(err, check_same(err, *world, *config));
  return o->plan ? RN_OK : rn_host_check(err, *world, (*config)->run->reproducible);
}

/* Fails on all ranks if the output of rank 0 is lost. Otherwise only rank 0 would end with the code
 * of a failure, and the launcher might report the EXIT_REQUEUE of another rank. */
static rn_status check_output(rn_err *err, const rn_world *world) {
  const bool root = rn_world_rank(world) == 0;
  return rn_agree(err, world, root ? rn_program_check_output(err, RN_OK) : RN_OK);
}

static void free_words(options *o) {
  rn_words_free(&o->overrides);
  rn_words_free(&o->found.words);
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options o = {0};
  bool run = false;
  rn_world *world = NULL;
  Retnet__Config *config = NULL;
  rn_train_end end = RN_TRAIN_DONE;
  rn_program_start();
  rn_status status = parse(&err, argc, argv, &o, &run);
  if (status != RN_OK || !run) {
    free_words(&o);
    return rn_program_finish("retnet-train", status, &err);
  }
  if (!o.plan) rn_stop_request_catch();
  status = start(&err, &argc, &argv, &o, &world, &config);
  if (status == RN_OK) {
    status = o.plan ? rn_plan_show(&err, config, &o.locations, world, (int)o.ranks)
                    : rn_train(&err, config, &o.locations, world, &end);
  }
  const bool requeue = config != NULL && config->run->requeue_exit && end == RN_TRAIN_STOPPED;
  if (status == RN_OK && requeue) status = check_output(&err, world);
  rn_options_free(&config);
  rn_config_text_free(&o.text);
  free_words(&o);
  const int code = rn_world_finish(&world, status, &err);
  return code == EXIT_SUCCESS && requeue ? EXIT_REQUEUE : code;
}
