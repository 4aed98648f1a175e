/** Sources of documents: files, folders, JSON lines and standard input. */
#ifndef RN_DATA_TEXT_SOURCE_H
#define RN_DATA_TEXT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/listing.h"
#include "data/text/documents.h"
#include "proto/base/status.h"

/** Selects the files that are read from folders. */
typedef struct rn_source_options {
  const char *include;          /* pattern of the file names to read inside folders; NULL: all */
  const rn_folder_id *excluded; /* [excluded_count] folders that are never read */
  int excluded_count;
} rn_source_options;

typedef struct rn_source_counts {
  int64_t read_bytes;         /* of the files that were read, as stored */
  rn_document_counts current; /* of the file that is being read */
  int64_t empty_files;        /* empty files found in folders or by patterns */
  int64_t blank_lines;        /* blank lines in .jsonl files */
  int64_t left_out;           /* as rn_listing.left_out */
  int64_t not_included;       /* files in folders whose names do not match `include` */
  int64_t compressed; /* files in unsupported compressed formats, by name; read as plain bytes */
  char first_compressed[RN_PATH_BYTES];
} rn_source_counts;

/**
 * Visits the documents of an input; adds to *counts.
 *
 * Files of a folder are read in the byte order of their paths, and so are the matches of a pattern
 * (*, ?, [) that is not itself a file's name; "-" is standard input. Each line of a .jsonl file is
 * an object whose "text" is the document; .zst is unpacked. File name extensions ignore case.
 * Errors: RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT naming file and line, for a named file without
 *         text, or for a .gz (with the commands that convert it).
 */
rn_status rn_source_visit(rn_err *err, const char *input, const rn_source_options *options,
                          rn_document_visit *visit, void *self, rn_source_counts *counts);

/**
 * Adds the sizes of the files that rn_source_visit would read to *bytes, for the estimate of the
 * time left. Returns false for standard input and for files that have no size.
 */
bool rn_source_measure(const char *input, const rn_source_options *options, int64_t *bytes);

#endif
