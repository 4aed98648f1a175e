#include "trainer/launch/launch.h"

#include <stdio.h>

#include "comm/world/cores.h"
#include "proto/options/options.h"

rn_status rn_launch(rn_err *err, int *argc, char ***argv, const rn_config_text *text,
                    const rn_words *keys, rn_world **out) {
  rn_err ignored = {0};
  Retnet__Config *config = NULL;
  const bool loaded =
      rn_options_load_text(
          &ignored,
          &(rn_options_input){"CONFIG.yaml", text != NULL ? text->text : NULL,
                              text != NULL ? text->bytes : 0, keys->word, keys->count},
          NULL, &config) == RN_OK;
  const bool serialized = loaded && config->parallel->comm_thread != RETNET__SWITCH__SWITCH_OFF;
  rn_options_free(&config);
  return serialized ? rn_world_start_serialized(err, argc, argv, out)
                    : rn_world_start(err, argc, argv, out);
}

/* Each field is true if its condition holds on every rank. */
typedef struct thread_support {
  bool left_over; /* each rank has at least one more core than threads */
  bool enough;    /* each rank has a core for each of its threads */
  bool allowed;   /* MPI provides MPI_THREAD_SERIALIZED */
} thread_support;

static rn_status query(rn_err *err, rn_world *world, int threads, thread_support *out) {
  rn_cores cores;
  RN_TRY(err, rn_cores_detect(err, world, &cores));
  int64_t lack[] = {!rn_cores_left_over(cores, threads), !rn_cores_suffice(cores, threads),
                    rn_world_level(world) < MPI_THREAD_SERIALIZED};
  RN_TRY(err, rn_world_max(err, world, lack, 3));
  *out = (thread_support){lack[0] == 0, lack[1] == 0, lack[2] == 0};
  return RN_OK;
}

/* Implements the rule of parallel.comm_thread=auto. */
static bool thread_pays(rn_comm_thread_use use, thread_support support) {
  return support.allowed && (support.left_over || (use.scans && support.enough));
}

rn_status rn_launch_comm_thread(rn_err *err, rn_world *world, rn_comm_thread_use use,
                                rn_comm_thread **out) {
  thread_support support;
  *out = NULL;
  if (!use.sends || use.wanted == RETNET__SWITCH__SWITCH_OFF) return RN_OK;
  RN_TRY(err, query(err, world, use.threads, &support));
  if (use.wanted == RETNET__SWITCH__SWITCH_AUTO && !thread_pays(use, support)) return RN_OK;
  const rn_comm_thread_wait wait =
      support.left_over ? RN_COMM_THREAD_OWN_CORE : RN_COMM_THREAD_PERIODIC;
  return rn_agree(err, world, rn_comm_thread_start(err, world, wait, out));
}

void rn_launch_describe(const rn_world *world, const rn_comm_thread *thread, char *text,
                        size_t bytes) {
  char how[80];
  if (thread != NULL && rn_comm_thread_waits(thread) == RN_COMM_THREAD_PERIODIC) {
    snprintf(how, sizeof how, "communication thread, polls every %d us", RN_COMM_THREAD_POLL_US);
  } else {
    snprintf(how, sizeof how, "%s",
             thread != NULL              ? "communication thread"
             : rn_world_size(world) == 1 ? "no communication"
                                         : "communication by polling");
  }
  snprintf(text, bytes, "%s, %s", how, rn_world_level_name(world));
}
