/* Formats and parses the names of checkpoint folders and files. */
#include "data/checkpoint/ckpt_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ends[] = {
    [RN_CKPT_WHOLE] = "",
    [RN_CKPT_BAD] = ".bad",
    [RN_CKPT_STAGED] = ".tmp",
    [RN_CKPT_REPLACED] = ".old",
};

void rn_ckpt_name(char name[RN_CKPT_NAME_BYTES], int64_t step, rn_ckpt_state state) {
  snprintf(name, RN_CKPT_NAME_BYTES, "step-%08" PRId64 "%s", step, ends[state]);
}

bool rn_ckpt_name_parse(const char *name, int64_t *step, rn_ckpt_state *state) {
  char again[RN_CKPT_NAME_BYTES];
  if (strncmp(name, "step-", 5) != 0) return false;
  *step = strtoll(name + 5, NULL, 10);
  for (int i = RN_CKPT_WHOLE; i <= RN_CKPT_REPLACED; i++) {
    *state = (rn_ckpt_state)i;
    rn_ckpt_name(again, *step, *state);
    if (*step >= 0 && strcmp(again, name) == 0) return true;
  }
  return false;
}

void rn_ckpt_file_name(char name[RN_CKPT_NAME_BYTES], int index) {
  snprintf(name, RN_CKPT_NAME_BYTES, "part-%05d.zst", index);
}

int rn_ckpt_file_index(const char *name) {
  char again[RN_CKPT_NAME_BYTES];
  if (strncmp(name, "part-", 5) != 0) return -1;
  long index = strtol(name + 5, NULL, 10);
  if (index < 0 || index > INT32_MAX) return -1;
  rn_ckpt_file_name(again, (int)index);
  return strcmp(again, name) == 0 ? (int)index : -1;
}

rn_path rn_ckpt_folder(const char *run_dir) {
  return rn_path_join(run_dir, "checkpoints");
}

rn_path rn_ckpt_step_path(const char *run_dir, int64_t step, rn_ckpt_state state) {
  char name[RN_CKPT_NAME_BYTES];
  rn_ckpt_name(name, step, state);
  return rn_path_join(rn_ckpt_folder(run_dir).text, name);
}

rn_path rn_ckpt_stage_path(const char *run_dir, int64_t step) {
  return rn_ckpt_step_path(run_dir, step, RN_CKPT_STAGED);
}
