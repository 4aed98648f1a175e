/** Reads the lines of a file of arbitrary content, in bounded memory. */
#ifndef RN_TRAINER_REPORT_LINE_READER_H
#define RN_TRAINER_REPORT_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/status.h"

typedef struct rn_line_reader rn_line_reader;

/** A line without its newline, valid until the next call. */
typedef struct rn_line_text {
  const char *bytes; /* [count]; NULL at the end of the file */
  size_t count;
  bool whole; /* false if the line is longer than the limit; `bytes` is then only its beginning */
} rn_line_text;

/** Opens a file. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT if it is not a regular file;
 * RN_ERR_MEMORY. */
rn_status rn_line_reader_open(rn_err *err, const char *path, size_t max_bytes,
                              rn_line_reader **out);

/** Reads the next line. Errors: RN_ERR_IO. */
rn_status rn_line_reader_next(rn_err *err, rn_line_reader *reader, rn_line_text *out);

/** Closes the reader and clears the pointer; accepts NULL. */
void rn_line_reader_close(rn_line_reader **reader);

#endif
