#include "trainer/launch/launch.h"

#include <stdio.h>

#include "comm/world/cores.h"
#include "proto/options/options.h"

static bool may_need_thread(const Retnet__Parallel *parallel) {
  switch (parallel->comm_thread) {
    case RETNET__SWITCH__SWITCH_ON:
      return true;
    case RETNET__SWITCH__SWITCH_AUTO:
      return rn_cores_may_be_left_over(parallel->threads);
    default:
      return false;
  }
}

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
  bool serialized = loaded && may_need_thread(config->parallel);
  if (text != NULL && text->text == NULL && loaded) {
    serialized = config->parallel->comm_thread != RETNET__SWITCH__SWITCH_OFF;
  }
  rn_options_free(&config);
  return serialized ? rn_world_start_serialized(err, argc, argv, out)
                    : rn_world_start(err, argc, argv, out);
}

/*
 * True if every rank has a free core for the communication thread and MPI provides the required
 * thread level.
 */
static rn_status is_free_for_all(rn_err *err, rn_world *world, int threads, bool *out) {
  rn_cores cores;
  RN_TRY(err, rn_cores_detect(err, world, &cores));
  int64_t lack =
      !rn_cores_left_over(cores, threads) || rn_world_level(world) < MPI_THREAD_SERIALIZED;
  RN_TRY(err, rn_world_max(err, world, &lack, 1));
  *out = lack == 0;
  return RN_OK;
}

rn_status rn_launch_comm_thread(rn_err *err, rn_world *world, Retnet__Switch wanted, int threads,
                                bool sends, rn_comm_thread **out) {
  bool start = wanted == RETNET__SWITCH__SWITCH_ON;
  *out = NULL;
  if (!sends) return RN_OK;
  if (wanted == RETNET__SWITCH__SWITCH_AUTO) {
    RN_TRY(err, is_free_for_all(err, world, threads, &start));
  }
  return start ? rn_agree(err, world, rn_comm_thread_start(err, world, out)) : RN_OK;
}

void rn_launch_describe(const rn_world *world, const rn_comm_thread *thread, char *text,
                        size_t bytes) {
  const char *how = thread != NULL              ? "communication thread"
                    : rn_world_size(world) == 1 ? "no communication"
                                                : "communication by polling";
  snprintf(text, bytes, "%s, %s", how, rn_world_level_name(world));
}
