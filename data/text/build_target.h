/** Where a data folder comes to be: its splits get their names when all of them are whole. */
#ifndef RN_DATA_TEXT_BUILD_TARGET_H
#define RN_DATA_TEXT_BUILD_TARGET_H

#include "data/file/listing.h"

/** Zero-initialise; rn_build_target_abandon on the way out of a failure. */
typedef struct rn_build_target {
  rn_path out;  /* without slashes at its end */
  rn_path work; /* holds the splits until then; empty: nothing was begun */
  bool exists;  /* out is an empty folder, which stays the one that it is: mode, mount, link */
  rn_folder_id never[2]; /* work and out: no input */
  int nevers;
} rn_build_target;

/**
 * Makes the work folder: beside an `out` that is absent, inside one that is an empty folder (that
 * alone is not renamed over: it may be a mount point, a link or the working directory).
 * Errors: RN_ERR_USAGE naming `out` and what is in it; RN_ERR_IO.
 */
rn_status rn_build_target_open(rn_err *err, const char *out, rn_build_target *target);

/**
 * Gives the splits in the work folder their place, durably. Where that fails, nothing of this build
 * is in `out`, and what another process put there meanwhile stays. Errors: RN_ERR_IO.
 */
rn_status rn_build_target_publish(rn_err *err, rn_build_target *target);

/** Removes what was begun. */
void rn_build_target_abandon(rn_build_target *target);

#endif
