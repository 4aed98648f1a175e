/**
 * Determines whether retnet-train wrote the configuration files of a run directory, config.yaml and
 * effective.yaml, and whether they were edited since.
 *
 * The first line of a file that retnet-train wrote has a checksum of the rest, which reveals later
 * edits.
 */
#ifndef RN_DATA_RUN_CONFIG_FILE_H
#define RN_DATA_RUN_CONFIG_FILE_H

#include <stddef.h>

#include "proto/base/status.h"

enum { RN_CONFIG_MARK_BYTES = 80 };

typedef enum {
  RN_CONFIG_FILE_ABSENT,
  RN_CONFIG_FILE_OURS,      /* written by retnet-train, unchanged */
  RN_CONFIG_FILE_EDITED,    /* written by retnet-train, changed since */
  RN_CONFIG_FILE_FOREIGN,   /* not written by this version */
  RN_CONFIG_FILE_UNREADABLE /* unknown: the file cannot be looked up or read */
} rn_config_file_kind;

/** Sets mark [RN_CONFIG_MARK_BYTES] to the first line of a file whose other lines are `body`.
 */
void rn_config_file_mark(const char *body, size_t bytes, char *mark);

/** Returns whether retnet-train wrote the file, and whether the file was edited since. If the
 * result is RN_CONFIG_FILE_UNREADABLE, `err` has the reason. */
rn_config_file_kind rn_config_file_state(rn_err *err, const char *path);

#endif
