/** Stores tokens in a compressed temporary file until they are needed. */
#ifndef RN_DATA_TEXT_SPOOL_H
#define RN_DATA_TEXT_SPOOL_H

#include "data/file/blob.h"
#include "data/tokenizer/tokenizer.h"

/** Zero-initialise. */
typedef struct rn_spool {
  rn_file file;
  rn_path path;
  rn_blob_extent *extent; /* [count] */
  int count;
  size_t capacity;
  int64_t end;
} rn_spool;

/** Creates the file. Errors: RN_ERR_IO. */
rn_status rn_spool_open(rn_err *err, const char *path, rn_spool *spool);
/** Removes the file and frees the memory; accepts a zeroed object. */
void rn_spool_close(rn_spool *spool);

/** Appends tokens as entry number spool->count. */
rn_status rn_spool_add(rn_err *err, rn_spool *spool, const rn_tokens *tokens);

/** Reads an entry; replaces the content of `tokens`. */
rn_status rn_spool_get(rn_err *err, const rn_spool *spool, int entry, rn_tokens *tokens);

#endif
