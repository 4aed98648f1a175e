/** Reads the documents of one file piece by piece, so that memory does not grow with the file. */
#ifndef RN_DATA_TEXT_DOCUMENTS_H
#define RN_DATA_TEXT_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/file/unpack.h"
#include "proto/base/status.h"

/** A piece of a document: text or, from token files, ids. The pieces of a document arrive in order;
 * any of them may be empty. */
typedef struct rn_document_piece {
  const char *name;  /* for messages */
  const char *bytes; /* [count], or NULL */
  size_t count;
  bool begins, ends; /* for ids, `ends` is never set: a document ends where the next one begins, or
                        with the input */
  const int32_t *id; /* [count], if bytes is NULL */
} rn_document_piece;

typedef rn_status rn_document_visit(void *self, rn_err *err, const rn_document_piece *piece);

typedef struct rn_document_format {
  bool lines; /* true: each line is a JSON object whose "text" is a document; false: the file is one
                 document */
  rn_packing packing;
  size_t held_line_bytes; /* longer lines are read in pieces (long_line.h); 0: 4 MiB */
} rn_document_format;

typedef struct rn_document_counts {
  int64_t documents, blank_lines, stored_bytes;
} rn_document_counts;

/**
 * Visits the documents of a file, or of standard input if `path` is NULL; sets *counts. The
 * document of a long line (long_line.h) is visited in pieces before the end of the line is known to
 * be valid.
 *
 * Errors: those of rn_stream_read and of `visit`; RN_ERR_FORMAT naming file and line.
 */
rn_status rn_documents_read(rn_err *err, const char *path, rn_document_format format,
                            rn_document_visit *visit, void *self, rn_document_counts *counts);

#endif
