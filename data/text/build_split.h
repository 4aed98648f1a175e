/**
 * Assigns documents to train and val, and writes them.
 *
 * With RN_FEW_DOCUMENTS documents or more, a keyed hash of each document's index assigns the
 * document to train or val; with fewer, the last part of each document's tokens goes to val. Until
 * RN_FEW_DOCUMENTS documents have begun, it is unknown which rule applies, so the tokens are kept
 * in a temporary file (`spool`).
 */
#ifndef RN_DATA_TEXT_BUILD_SPLIT_H
#define RN_DATA_TEXT_BUILD_SPLIT_H

#include "data/shard/shard.h"
#include "data/text/spool.h"

enum { RN_FEW_DOCUMENTS = 20 };

/** Zero-initialise. */
typedef struct rn_build_split {
  double val_fraction;
  int32_t document_token;
  rn_shard_writer *train, *val;
  int64_t train_tokens, val_tokens;
  int64_t documents; /* number of documents begun so far */
  rn_spool spool;
  int64_t first[RN_FEW_DOCUMENTS]; /* first spool entry of each spooled document */
  int64_t tokens[RN_FEW_DOCUMENTS];
} rn_build_split;

/** Creates train and val in `folder`. Ownership: the strings of `kind` must outlive the object. */
rn_status rn_build_split_open(rn_err *err, const char *folder, rn_shard_kind kind,
                              double val_fraction, rn_build_split *split);

/** Adds tokens to the current document; if `begins`, starts a new document first. */
rn_status rn_build_split_add(rn_err *err, rn_build_split *split, const rn_tokens *tokens,
                             bool begins);

/** Writes the spooled documents and finishes the shards; removes `folder`/val if val is empty. */
rn_status rn_build_split_finish(rn_err *err, rn_build_split *split, const char *folder);

/** Frees everything; removes unfinished shards. */
void rn_build_split_close(rn_build_split *split);

#endif
