/**
 * From texts to a data folder: documents in, shards of train and val out.
 *
 * A document is stored as the document token and its bytes; one more document token closes a split.
 * With 20 documents or more, a keyed hash of its number sends a document to val; with fewer, the
 * last part of each goes there.
 */
#ifndef RN_DATA_TEXT_BUILD_H
#define RN_DATA_TEXT_BUILD_H

#include <stdint.h>

#include "data/text/source.h"

typedef struct rn_build_report {
  int64_t documents, bytes, train_tokens, val_tokens;
  rn_source_counts passed_by;
} rn_build_report;

typedef struct rn_build_options {
  const char *out;     /* empty or absent */
  const char *include; /* pattern of names inside folders, or NULL: all */
  double val_fraction; /* [0, 1) */
  const char *const *input;
  void (*progress)(const rn_build_report *so_far); /* after each document, or NULL */
  int inputs; /* files, folders, .jsonl, each also .zst; "-" is standard input */
} rn_build_options;

/**
 * Builds the splits under another name and renames them at the end: a build that is cut short
 * leaves no split. What is being built is never read as input, wherever `out` lies. Errors:
 * RN_ERR_USAGE for options; RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT name file and line.
 */
rn_status rn_build(rn_err *err, const rn_build_options *options, rn_build_report *report);

#endif
