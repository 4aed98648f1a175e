/** Private to data/checkpoint: names and paths in a run's checkpoints folder. */
#ifndef RN_DATA_CHECKPOINT_CKPT_NAME_H
#define RN_DATA_CHECKPOINT_CKPT_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "data/checkpoint/ckpt.h"

#define RN_CKPT_MANIFEST_FILE "manifest.pb"

enum { RN_CKPT_NAME_BYTES = 48 };

/** "step-00000100" with the suffix of the state. */
void rn_ckpt_name(char name[RN_CKPT_NAME_BYTES], int64_t step, rn_ckpt_state state);

/** Parses such a name; false for any other name. */
bool rn_ckpt_name_parse(const char *name, int64_t *step, rn_ckpt_state *state);

/** "part-00003.zst", and back to its index; -1 for any other name. */
void rn_ckpt_file_name(char name[RN_CKPT_NAME_BYTES], int index);
int rn_ckpt_file_index(const char *name);

/** RUN/checkpoints, and the folder of a step in it. */
rn_path rn_ckpt_folder(const char *run_dir);
rn_path rn_ckpt_step_path(const char *run_dir, int64_t step, rn_ckpt_state state);

#endif
