/**
 * A file of whole lines that only grows. A line that finds no room waits in memory and is written
 * before the next one, so a disk that is full for a while tears no line and loses none.
 */
#ifndef RN_DATA_FILE_JOURNAL_H
#define RN_DATA_FILE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/file.h"

typedef struct rn_journal {
  rn_path path;
  int fd;
  int64_t bytes; /* in the file, all of them whole lines */
  char *waiting; /* [waiting_bytes], lines not written yet */
  size_t waiting_bytes;
} rn_journal;

/** Opens or makes the file and keeps its first `bytes`. Errors: RN_ERR_IO naming the file. */
rn_status rn_journal_open(rn_err *err, const char *path, int64_t bytes, rn_journal *out);

/** Appends a line, newline included. Errors: RN_ERR_IO, RN_ERR_MEMORY; after the first it waits. */
rn_status rn_journal_add(rn_err *err, rn_journal *journal, const char *line, size_t bytes);

/** Tries what still waits, and closes. Takes a zeroed journal too. */
rn_status rn_journal_close(rn_err *err, rn_journal *journal);

#endif
