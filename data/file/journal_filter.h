/** Removes selected lines from a file, which may have any content. Memory is bounded, and a crash
 * does not damage the file. */
#ifndef RN_DATA_FILE_JOURNAL_FILTER_H
#define RN_DATA_FILE_JOURNAL_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

enum { RN_LINE_HEAD_BYTES = 64 };

/** The properties of a line that decide whether it is kept. */
typedef struct rn_line {
  char head[RN_LINE_HEAD_BYTES + 1]; /* first bytes of the line, zero-terminated */
  size_t head_bytes;
  bool ended;  /* the line has a newline; false only for the last line */
  bool closed; /* the last character, ignoring carriage returns, is '}' */
  bool blank;  /* the line is empty or has only zero bytes */
} rn_line;

typedef bool (*rn_line_keep)(const void *self, const rn_line *line);

/**
 * Keeps the lines for which `keep` returns true, in their order; if the last line has no newline,
 * adds one. *bytes is the resulting size of the file, or 0 if the file does not exist.
 *
 * A reader, even after a crash, sees either the old or the new content: the file is truncated if
 * only lines at its end are removed; otherwise a new file replaces it. If no line is removed, no
 * line is rewritten.
 * Errors: RN_ERR_IO, RN_ERR_MEMORY; RN_ERR_FORMAT if `path` is not a regular file.
 */
rn_status rn_journal_filter(rn_err *err, const char *path, rn_line_keep keep, const void *self,
                            int64_t *bytes);

#endif
