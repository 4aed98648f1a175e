/**
 * A journal is an append-only file of complete lines. A line that cannot be written waits in memory
 * and is written before the next line, so no line is split or lost while the disk is full. If the
 * file is removed or replaced while it is open, the next line goes to a new file of that name, or
 * waits until the file can be created again.
 */
#ifndef RN_DATA_FILE_JOURNAL_H
#define RN_DATA_FILE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/file.h"

typedef struct rn_journal {
  rn_path path;
  int fd;        /* -1: the file could not be reopened yet */
  int64_t bytes; /* size of the file, which has only complete lines */
  char *waiting; /* [waiting_bytes] lines that are not written yet */
  size_t waiting_bytes, waiting_capacity;
} rn_journal;

/** Opens or creates the file and truncates it to `bytes`. Errors: RN_ERR_IO naming the file. */
rn_status rn_journal_open(rn_err *err, const char *path, int64_t bytes, rn_journal *out);

/** Appends a line; `line` includes the newline. Errors: RN_ERR_IO, RN_ERR_NOT_FOUND: the line
 * waits; RN_ERR_MEMORY: the line is lost. */
rn_status rn_journal_add(rn_err *err, rn_journal *journal, const char *line, size_t bytes);

/** Writes the waiting lines, if there are any. Errors: RN_ERR_IO, RN_ERR_NOT_FOUND: the lines stay
 * in memory. */
rn_status rn_journal_flush(rn_err *err, rn_journal *journal);

/** Discards the waiting lines and opens the file again. Must be called after the caller has changed
 * the file. Errors: RN_ERR_IO naming the file; the next write then tries again to open it. */
rn_status rn_journal_reopen(rn_err *err, rn_journal *journal);

/** Discards the waiting lines. Accepts a zeroed journal. */
void rn_journal_discard(rn_journal *journal);

/** Tries to write the waiting lines, and closes the file. Accepts a zeroed journal. */
rn_status rn_journal_close(rn_err *err, rn_journal *journal);

#endif
