/** Where documents come from: files, folders, JSON lines and standard input, one after the other.
 */
#ifndef RN_DATA_SOURCE_H
#define RN_DATA_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/status.h"

/** Called with each document in order; `name` is for messages. */
typedef rn_status rn_document_visit(void *self, rn_err *err, const char *name, const void *bytes,
                                    size_t count);

/**
 * Visits the documents of an input; empty files in folders and patterns are counted in *skipped.
 *
 * A folder is read in the byte order of its paths, and so is what a pattern (*, ?, [) matches that
 * is no file's name; .zst is unpacked; each line of a .jsonl is an object whose "text" is the
 * document.
 * Errors: RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT naming file and line; an empty named file.
 */
rn_status rn_source_visit(rn_err *err, const char *input, const char *include,
                          rn_document_visit *visit, void *self, int64_t *skipped);

#endif
