/**
 * Reads token files of llm.c and of nanoGPT. The latter have no header.
 *
 *   llm.c      i32 magic, i32 version, i32 number of tokens, 253 x i32 that are ignored; then
 *              the tokens: magic 20240520, version 1: u16; magic 20240801, version 7: u32. The
 *              separator comes before each document. Several shards form one stream, which may be
 *              cut anywhere, even inside a document.
 *   nanoGPT    u16 tokens to the end of the file; the separator comes after each document.
 *
 * Source: karpathy/llm.c, dev/data/data_common.py and llmc/dataloader.h; karpathy/nanoGPT,
 *         data/openwebtext/prepare.py.
 */
#ifndef RN_DATA_TOKENS_LLMC_H
#define RN_DATA_TOKENS_LLMC_H

#include "data/tokens/token_reader.h"

/** Sets *is_llmc to true if a file begins with a magic number of llm.c, even of an unsupported kind
 * or version. Errors: RN_ERR_IO. */
rn_status rn_llmc_detect(rn_err *err, const rn_file *file, bool *is_llmc);

/** Checks header and size; sets type and number of tokens. Errors: RN_ERR_FORMAT naming the field.
 */
rn_status rn_llmc_check(rn_err *err, const rn_file *file, rn_token_type *type, int64_t *tokens);

/** True if `path` is the shard after `previous`: NAME_000001.bin after NAME_000000.bin. */
bool rn_llmc_follows(const char *previous, const char *path);

/** Visits the documents of the open file. Errors: those of rn_llmc_check and of the reader. */
rn_status rn_llmc_read(rn_err *err, const rn_file *file, rn_token_reader *reader);

/** Visits the documents of an open nanoGPT file. Errors: RN_ERR_FORMAT for a file without tokens or
 * with an odd number of bytes; those of the reader. */
rn_status rn_nanogpt_read(rn_err *err, const rn_file *file, rn_token_reader *reader);

#endif
