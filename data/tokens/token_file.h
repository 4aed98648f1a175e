/** Detects the format of token files of other programs, and reads their documents. */
#ifndef RN_DATA_TOKENS_TOKEN_FILE_H
#define RN_DATA_TOKENS_TOKEN_FILE_H

#include "data/tokens/token_reader.h"

/** Formats of input files, as --format names them. */
typedef enum rn_token_format {
  RN_FORMAT_AUTO,     /* determined by name and content */
  RN_FORMAT_TEXT,     /* not tokens */
  RN_FORMAT_NANOGPT,  /* see llmc.h */
  RN_FORMAT_LLMC,     /* see llmc.h */
  RN_FORMAT_MEGATRON, /* see megatron.h */
  RN_FORMATS
} rn_token_format;

/** Names of the formats, [RN_FORMATS]. */
extern const char *const rn_token_format_names[RN_FORMATS];

/**
 * Determines the format of a file by its name and content:
 *   Megatron  NAME.bin with NAME.idx beside it; or NAME.idx that begins like an index
 *   llm.c     .bin that begins with a magic number of llm.c
 *   nanoGPT   any other .bin; it may hold data other than tokens
 *   text      any other name, and everything that is not a regular file
 * Errors: RN_ERR_IO if a file cannot be looked up or read; RN_ERR_NOT_FOUND, RN_ERR_FORMAT if it
 * was removed or became shorter in the meantime; RN_ERR_MEMORY.
 */
rn_status rn_token_file_format(rn_err *err, const char *path, rn_token_format *format);

/** Returns the path with its extension (.bin or .idx) replaced by `extension`, or an empty path if
 * it has neither extension. */
rn_path rn_token_file_sibling(const char *path, const char *extension);

/** Megatron-LM names a pair of files NAME.bin and NAME.idx by NAME. If `name` is such a name, sets
 * *data to the path of the .bin file; else to an empty path. Errors: RN_ERR_IO. */
rn_status rn_token_file_pair(rn_err *err, const char *name, rn_path *data);

/** Sets *bytes to the size of a token in an llm.c file, 2 or 4; to 0 for any other file or a
 * damaged one. Errors: those of rn_file_open and rn_file_read, except RN_ERR_FORMAT. */
rn_status rn_token_file_llmc_bytes(rn_err *err, const char *path, int *bytes);

/**
 * Visits the documents of a file of one of the token formats; for a Megatron pair, `path` is the
 * .bin. If `continues` is true, the first tokens belong to the document with which the previous
 * file ended.
 * Errors: those of the format's reader, RN_ERR_IO, RN_ERR_NOT_FOUND, RN_ERR_MEMORY.
 */
rn_status rn_token_file_read(rn_err *err, const char *path, rn_token_format format, bool continues,
                             const rn_token_rules *rules, rn_token_visitor visitor);

#endif
