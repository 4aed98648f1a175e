/** Writes files to a temporary folder and then moves them to their final folder, where they replace
 * files of the same names: either all of them or none. */
#ifndef RN_DATA_FILE_STAGED_FOLDER_H
#define RN_DATA_FILE_STAGED_FOLDER_H

#include <stdbool.h>

#include "data/file/file.h"

/** Zero-initialise. Files are written to `staged`, a folder in `folder`. */
typedef struct rn_staged_folder {
  rn_path folder, staged;
  bool is_open, is_new; /* is_new: `folder` did not exist before */
} rn_staged_folder;

/** Creates `folder` if it does not exist, and an empty staged folder in it. Removes a staged folder
 * that a killed process has left. Errors: RN_ERR_IO, RN_ERR_NOT_FOUND. */
rn_status rn_staged_folder_create(rn_err *err, const char *folder, rn_staged_folder *out);

/**
 * Moves the staged files into the folder, in the order of their names, and removes the staged
 * folder. If a file cannot be moved, or the folder cannot be synced, the files that were replaced
 * are restored. If the process is killed meanwhile, each file is either the old or the new one,
 * never incomplete.
 *
 * Errors: RN_ERR_IO; the staged folder then still exists; call rn_staged_folder_abandon.
 */
rn_status rn_staged_folder_publish(rn_err *err, rn_staged_folder *staged);

/** Removes the staged files, and `folder` if rn_staged_folder_create created it; accepts a zeroed
 * or published object. */
void rn_staged_folder_abandon(rn_staged_folder *staged);

#endif
