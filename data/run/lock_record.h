/** The text of a lock file: it identifies the owner of a run directory, and ends with the
 * heartbeat. */
#ifndef RN_DATA_RUN_LOCK_RECORD_H
#define RN_DATA_RUN_LOCK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/process.h"
#include "proto/base/status.h"

enum { RN_RUN_LOCK_ID_BYTES = 17, RN_LOCK_RECORD_BYTES = 1024, RN_LOCK_RECORD_JOB_BYTES = 64 };

/** Content of a lock file; `text` is empty if the file does not exist. */
typedef struct rn_lock_record {
  char text[RN_LOCK_RECORD_BYTES];
  char id[RN_RUN_LOCK_ID_BYTES]; /* id of the owner: hash of the record without the heartbeat */
  rn_process process;
  char job[RN_LOCK_RECORD_JOB_BYTES], since[RN_LOCK_RECORD_JOB_BYTES];
} rn_lock_record;

/** Returns the record of this process. It contains the time, so that two locks of one process have
 * different ids. */
rn_lock_record rn_lock_record_of_self(void);

/** Reads a lock file; the text is empty if the file does not exist. Errors: RN_ERR_IO. */
rn_status rn_lock_record_read(rn_err *err, const char *path, rn_lock_record *out);

/** Reads an open lock file. Returns false if it is empty or cannot be read. */
bool rn_lock_record_read_open(int fd, rn_lock_record *out);

/** False if the lock file did not exist when it was read. */
static inline bool rn_lock_record_is_there(const rn_lock_record *record) {
  return record->text[0] != '\0';
}

/** Writes a description of the owner: "process 12 on n1 (SLURM job 7), since ..." */
void rn_lock_record_name(const rn_lock_record *record, char *text, size_t bytes);

/** Creates a lock file with this text, durably; removes it on failure. Errors: RN_ERR_IO, also if
 * the file exists; RN_ERR_NOT_FOUND. */
rn_status rn_lock_record_create(rn_err *err, const char *path, const char *text);

/** Replaces the heartbeat in an open file that begins with `record`, durably; false if it fails. */
bool rn_lock_record_write_beat(int fd, const rn_lock_record *record, int64_t beats);

#endif
