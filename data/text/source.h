/** Reads documents from files, folders, JSON lines and standard input. */
#ifndef RN_DATA_TEXT_SOURCE_H
#define RN_DATA_TEXT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/listing.h"
#include "data/text/documents.h"
#include "data/text/token_inputs.h"
#include "proto/base/status.h"

/** Selects the files that are read from folders. */
typedef struct rn_source_options {
  const char *include;          /* pattern of the file names to read inside folders; NULL: all */
  const rn_folder_id *excluded; /* [excluded_count] folders that are never read */
  int excluded_count;
  rn_token_inputs *tokens; /* how token files are read; NULL: all files are text */
} rn_source_options;

typedef struct rn_source_counts {
  int64_t read_bytes;         /* size of the files that were read, as stored */
  rn_document_counts current; /* counts of the file that is being read */
  int64_t empty_files;        /* empty files found in folders or by patterns */
  int64_t blank_lines;        /* blank lines in .jsonl files */
  int64_t left_out;           /* same as rn_listing.left_out */
  int64_t not_included;       /* files in folders whose names do not match `include` */
  int64_t decompressed;       /* .zst and .gz files */
  int64_t token_files;        /* token files, each Megatron-LM pair counted once */
  int64_t text_inputs;        /* files read as text, and standard input */
  int64_t folders;            /* folders named by the user or matched by a pattern */
  int64_t compressed; /* files whose names end in an unsupported compressed format (.xz, ...); they
                       are read as plain bytes */
  char first_compressed[RN_PATH_BYTES];
  int64_t headerless; /* .bin files read as text that might hold tokens in nanoGPT's format */
  char first_headerless[RN_PATH_BYTES];
  int llmc_bytes;     /* size of a token of the first llm.c file (set by rn_source_measure only); 0:
                         none */
  int64_t unmeasured; /* inputs without a size, such as pipes (counted by rn_source_measure only) */
} rn_source_counts;

/**
 * Visits the documents of an input and adds to *counts.
 *
 * Files of a folder are read in the byte order of their paths, and so are the files that match a
 * pattern (*, ?, [). An input that is the name of an existing file is not a pattern; "-" is
 * standard input. Each line of a .jsonl file is a JSON object whose "text" is the document; .zst
 * and .gz files are decompressed. Token files are read if options->tokens is set; the input NAME
 * then also means the pair of files NAME.bin and NAME.idx. The case of file name extensions is
 * ignored.
 *
 * Errors: RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT naming file and line; RN_ERR_FORMAT also for a
 *         file without text that the user named, for a shard of retnet-data, and for a Parquet file
 *         (the message contains a command that converts the file); RN_ERR_USAGE for text without a
 *         tokenizer; RN_ERR_MEMORY.
 */
rn_status rn_source_visit(rn_err *err, const char *input, const rn_source_options *options,
                          rn_document_visit *visit, void *self, rn_source_counts *counts);

/**
 * Adds the sizes of the files that rn_source_visit would read to counts->read_bytes, for the
 * estimate of the time left. Sets counts->llmc_bytes at the first llm.c file. Standard input, and
 * inputs that have no size or do not exist, are counted as unmeasured; rn_source_visit reports the
 * latter. Errors: those of rn_source_visit.
 */
rn_status rn_source_measure(rn_err *err, const char *input, const rn_source_options *options,
                            rn_source_counts *counts);

#endif
