/** Removes lines from a file of lines, whatever they hold: in one pass, in little memory, safely.
 */
#ifndef RN_DATA_FILE_JOURNAL_FILTER_H
#define RN_DATA_FILE_JOURNAL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

enum { RN_LINE_HEAD_BYTES = 64 };

/** What is known of a line when it is judged. */
typedef struct rn_line {
  char head[RN_LINE_HEAD_BYTES + 1]; /* its first bytes, and a zero */
  size_t head_bytes;
  bool ended;  /* by a newline; only the last one may not be */
  bool closed; /* its last character, carriage returns aside, is a brace */
  bool blank;  /* it holds nothing but zero bytes */
} rn_line;

typedef bool (*rn_line_keep)(const void *self, const rn_line *line);

/**
 * Keeps the lines that `keep` wants, in their order; a last line without newline gets one. *bytes
 * is the file's size then; 0 for a file that is not there.
 *
 * A reader, or a crash, sees the old content or the new: where only an end is removed the file is
 * truncated, else a new file takes its place; nothing to remove, nothing is written.
 * Errors: RN_ERR_IO, RN_ERR_FORMAT for what is no regular file.
 */
rn_status rn_journal_filter(rn_err *err, const char *path, rn_line_keep keep, const void *self,
                            int64_t *bytes);

#endif
