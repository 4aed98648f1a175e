/** Recognises the kind of a tokenizer file by its first bytes, so that a wrong prefix of
 * --tokenizer can be named. */
#ifndef RN_DATA_TOKENIZER_CONTENT_KIND_H
#define RN_DATA_TOKENIZER_CONTENT_KIND_H

#include <stddef.h>

#include "proto/base/status.h"

typedef enum {
  RN_CONTENT_ZSTD,
  RN_CONTENT_GZIP,
  RN_CONTENT_JSON,
  RN_CONTENT_RANKS,         /* rank file of tiktoken */
  RN_CONTENT_SENTENCEPIECE, /* model of sentencepiece */
  RN_CONTENT_MERGES,        /* merges.txt of a Hugging Face tokenizer */
  RN_CONTENT_UNKNOWN
} rn_content_kind;

/** Recognises a file. Merges without a header are RN_CONTENT_UNKNOWN. */
rn_content_kind rn_content_kind_of(const void *bytes, size_t count);

/**
 * Checks that a file can be of the kind `wanted`. A file that is not recognised can be of any kind,
 * and any text can be a file of merges.
 *
 * Errors: RN_ERR_FORMAT with what the file looks like, and what to write instead.
 */
rn_status rn_content_check(rn_err *err, const char *path, const void *bytes, size_t count,
                           rn_content_kind wanted);

#endif
