/** Reads tokenizer files into the Tokenizer message. */
#ifndef RN_DATA_TOKENIZER_FILE_CONTENT_H
#define RN_DATA_TOKENIZER_FILE_CONTENT_H

#include <jansson.h>

#include "data/tokenizer/content_kind.h"
#include "data/tokenizer/token_table.h"
#include "proto/schema/tokenizer.pb-c.h"

/** Sets file->content to the bytes of the file, and file->file_name to its name without the folder.
 * Errors: those of rn_stream_load; RN_ERR_FORMAT for an empty file, and those of rn_content_check.
 */
rn_status rn_tokenizer_load(rn_err *err, const char *path, rn_content_kind wanted,
                            Retnet__Tokenizer *file);

/**
 * Parses JSON whose keys are unique. Ownership: the caller calls json_decref.
 * Errors: RN_ERR_FORMAT naming `where` and the line.
 */
rn_status rn_tokenizer_parse(rn_err *err, const char *where, const void *bytes, size_t count,
                             json_t **out);

/** Fails with the status of `inner` and the message "`where`: text of `inner`". */
rn_status rn_tokenizer_fail_at(rn_err *err, const char *where, const rn_err *inner);

#endif
