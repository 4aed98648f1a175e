/** Manages the output folder of a build. The splits get their final names when all of them are
 * complete. */
#ifndef RN_DATA_TEXT_BUILD_TARGET_H
#define RN_DATA_TEXT_BUILD_TARGET_H

#include "data/file/listing.h"

/** Zero-initialise; call rn_build_target_abandon on failure. */
typedef struct rn_build_target {
  rn_path out;  /* without trailing slashes */
  rn_path work; /* temporary folder that holds the splits; "": none */
  bool exists;  /* true if `out` is an existing empty folder, which is filled, not replaced, to keep
                   its mode, mount point or link */
  rn_folder_id excluded[2]; /* `work` and `out`, which are never read as input */
  int excluded_count;
} rn_build_target;

/**
 * Creates the work folder next to `out` or, if `out` exists, inside it. An existing `out` is not
 * replaced, because it may be a mount point, a link or the working directory. Removes work folders
 * that killed builds for the same `out` on this host have left. Errors: RN_ERR_USAGE naming `out`
 * and an entry if it is not an empty folder; RN_ERR_IO.
 */
rn_status rn_build_target_open(rn_err *err, const char *out, rn_build_target *target);

/**
 * Moves the splits from the work folder to `out`, durably. On failure nothing of this build remains
 * in `out`, and files that another process created there stay. Errors: RN_ERR_IO.
 */
rn_status rn_build_target_publish(rn_err *err, rn_build_target *target);

/** Removes the work folder, if any. */
void rn_build_target_abandon(rn_build_target *target);

#endif
