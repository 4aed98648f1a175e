/**
 * Builds a data folder, with shards of train and val, from texts and token files.
 *
 * A document is stored as the document token followed by the tokens of the document; one more
 * document token ends a split. With 20 documents or more, a keyed hash of each document's index
 * assigns the document to train or val; with fewer, the last part of each document's tokens goes to
 * val.
 */
#ifndef RN_DATA_TEXT_BUILD_H
#define RN_DATA_TEXT_BUILD_H

#include <stdint.h>

#include "data/text/source.h"

typedef struct rn_build_report {
  int64_t documents, bytes, train_tokens, val_tokens;
  int64_t input_bytes;        /* size of all input files, as stored; 0: unknown */
  bool lossless;              /* decoding the tokens gives back the text */
  rn_source_counts passed_by; /* counts of the inputs, also of those that were skipped */
} rn_build_report;

typedef struct rn_build_options {
  const char *out;        /* output folder; must be empty or not exist */
  const char *include;    /* pattern of the file names to read inside folders; NULL: all */
  const char *tokenizer;  /* "bytes", "tiktoken:FILE", "hf:FILE|DIR", "spm:FILE"; NULL: no
                             tokenizer if vocab_size is set or an input is a file of llm.c, else
                             bytes */
  rn_token_format format; /* format of the inputs */
  int vocab_size;         /* number of ids in token files without a tokenizer; 0: not given */
  int separator; /* id between documents in token files; -1: the tokenizer's document token */
  const char
      *special_tokens; /* special tokens to recognise in texts, by name, or "all"; NULL: none */
  double val_fraction; /* fraction of the data that goes to val, in [0, 1) */
  const char *const *input;
  void (*progress)(const rn_build_report *so_far); /* called for each piece of text; or NULL */
  int inputs; /* number of entries of `input`; rn_source_visit defines what an entry may be */
} rn_build_options;

/**
 * Builds the splits under a temporary name and renames them at the end: an interrupted build leaves
 * no split. The output is never read as input, even if `out` is inside an input folder.
 * Errors: RN_ERR_USAGE for options; RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT with file and line.
 */
rn_status rn_build(rn_err *err, const rn_build_options *options, rn_build_report *report);

#endif
