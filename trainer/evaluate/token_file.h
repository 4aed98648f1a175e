/**
 * File of the log-likelihoods of single tokens: one JSON object per line for each window.
 *
 *   {"set": 0, "document": 3, "position": 1, "tokens": [...], "log_likelihoods": [...]}
 *
 * The key "document" is replaced by "sequence" for windows of a whole split, and by "request" for
 * requests. `position` is the index of the first of these tokens in its document or split. Lines of
 * requests also have "greedy", a list that says for each token whether it is the most likely one.
 */
#ifndef RN_TRAINER_EVALUATE_TOKEN_FILE_H
#define RN_TRAINER_EVALUATE_TOKEN_FILE_H

#include <stdio.h>

#include "trainer/evaluate/score.h"

/** An open file, or none. */
typedef struct rn_token_file {
  FILE *file; /* NULL: nothing is written */
  const char *path;
  int error; /* errno value of the first write that failed; 0: none */
} rn_token_file;

/** Creates the file; `path` NULL: none. Errors: RN_ERR_IO. */
rn_status rn_token_file_create(rn_err *err, const char *path, rn_token_file *out);

/** The values of a line other than the scores. */
typedef struct rn_token_line {
  int set;          /* index of the data folder; -1: not written */
  const char *kind; /* "document", "sequence" or "request" */
  int64_t index, position;
  bool greedy; /* write "greedy" */
} rn_token_line;

/** Writes a line with scores [count]; does nothing if file->file is NULL. */
void rn_token_file_write(rn_token_file *file, rn_token_line line, const rn_token_score *score,
                         int count);

/** Closes the file. Errors: RN_ERR_IO if anything could not be written. */
rn_status rn_token_file_close(rn_err *err, rn_token_file *file);

/** Closes a file that is still open, after a failure. */
void rn_token_file_discard(rn_token_file *file);

#endif
