/** Private to data/checkpoint: names and paths in a run's checkpoints folder. */
#ifndef RN_DATA_CHECKPOINT_CKPT_NAME_H
#define RN_DATA_CHECKPOINT_CKPT_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "data/checkpoint/ckpt.h"

#define RN_CKPT_MANIFEST_FILE "manifest.pb"

enum { RN_CKPT_NAME_BYTES = 48 };

/** Writes the folder name of a step, "step-00000100", with the suffix of `state`. */
void rn_ckpt_name(char name[RN_CKPT_NAME_BYTES], int64_t step, rn_ckpt_state state);

/** Parses a name written by rn_ckpt_name; false for any other name. */
bool rn_ckpt_name_parse(const char *name, int64_t *step, rn_ckpt_state *state);

/** rn_ckpt_file_name writes the name of the checkpoint file with an index, such as
 * "part-00003.zst". rn_ckpt_file_index returns the index in such a name, or -1 for any other name.
 */
void rn_ckpt_file_name(char name[RN_CKPT_NAME_BYTES], int index);
int rn_ckpt_file_index(const char *name);

/** True if entries[i] of a list is a staging folder of a step that has no checkpoint, so that only
 * a failed or killed save can have left it. Only the owner of the run may conclude this. */
bool rn_ckpt_is_abandoned(const rn_ckpt_entry *entries, int i);

/** Returns the path of RUN/checkpoints. */
rn_path rn_ckpt_folder(const char *run_dir);

#endif
