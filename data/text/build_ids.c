#include "data/text/build_ids.h"

#include <string.h>
#include <xxhash.h>

#include "data/file/little_endian.h"
#include "data/tokenizer/bytes.h"

/* Tokenizer name that shards record if no tokenizer was given. */
static const char no_tokenizer[] = "tokens";

/* The vocabulary of token files, used if no tokenizer is given. */
typedef struct vocabulary {
  int size;      /* 0: unknown */
  int separator; /* -1: none */
} vocabulary;

static vocabulary vocabulary_of(const rn_build_options *options, int llmc_bytes) {
  static const vocabulary gpt2 = {50257, 50256}, llama3 = {128256, 128000};
  vocabulary v = {options->vocab_size, -1};
  if (v.size == 0 && llmc_bytes != 0) v = llmc_bytes == 2 ? gpt2 : llama3;
  if (options->separator >= 0) v.separator = options->separator;
  return v;
}

/* Sets `ids` for token files without a tokenizer. The separator becomes the document token; if
 * there is none, the id v.size, which no token has, becomes the document token. */
static rn_status use_numbers(rn_err *err, vocabulary v, rn_build_ids *ids) {
  const int document = v.separator >= 0 ? v.separator : v.size;
  unsigned char words[8];
  if (v.separator >= v.size) {
    return rn_fail(err, RN_ERR_USAGE, "--separator %d must be less than the vocabulary size %d",
                   v.separator, v.size);
  }
  rn_put_u32(words, (uint32_t)v.size);
  rn_put_u32(words + 4, (uint32_t)document);
  ids->kind = (rn_shard_kind){no_tokenizer, XXH3_64bits(words, sizeof words),
                              document < v.size ? v.size : v.size + 1, document};
  ids->inputs.rules = (rn_token_rules){.vocabulary = v.size,
                                       .tokenizer = "--vocab-size",
                                       .separator = v.separator,
                                       .document = document};
  ids->inputs.separator_llama3 = v.separator;
  ids->inputs.headerless = ids->inputs.no_text = true;
  return RN_OK;
}

/* Returns the separator of llm.c files with the Llama 3 tokenizer. Llama 3 has different tokens for
 * the start and the end of a text; llm.c writes the token for the start. */
static int32_t find_separator_llama3(const rn_tokenizer *t) {
  for (int i = 0; i < t->specials; i++) {
    if (strcmp(t->special[i].text, "<|begin_of_text|>") == 0) return t->special[i].id;
  }
  return t->document;
}

static bool has_token(const void *self, int32_t id) {
  return rn_tokenizer_has(self, id);
}

static rn_status use_tokenizer(rn_err *err, const rn_build_options *options, const char *name,
                               rn_build_ids *ids) {
  RN_TRY(err, rn_tokenizer_file_read(err, name, &ids->file));
  RN_TRY(err, rn_tokenizer_create(err, ids->file, &ids->tokenizer));
  const rn_tokenizer *t = ids->tokenizer;
  const int given = options->separator;
  if (given >= t->vocabulary) {
    return rn_fail(err, RN_ERR_USAGE, "--separator %d must be less than the vocabulary size %d",
                   given, t->vocabulary);
  }
  ids->kind = (rn_shard_kind){t->name, t->hash, t->vocabulary, t->document};
  ids->inputs.rules = (rn_token_rules){.vocabulary = t->vocabulary,
                                       .tokenizer = t->name,
                                       .separator = given >= 0 ? given : t->document,
                                       .document = t->document,
                                       .has = has_token,
                                       .self = t};
  ids->inputs.separator_llama3 = given >= 0 ? given : find_separator_llama3(t);
  ids->inputs.headerless = strcmp(name, RN_BYTES_NAME) != 0;
  return RN_OK;
}

rn_status rn_build_ids_open(rn_err *err, const rn_build_options *options, int llmc_bytes,
                            rn_build_ids *ids) {
  *ids = (rn_build_ids){.inputs = {.format = options->format}};
  if (options->tokenizer != NULL && options->vocab_size > 0) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "the tokenizer determines the vocabulary: give only one of --tokenizer %s and --vocab-size",
        options->tokenizer);
  }
  if (options->tokenizer != NULL) return use_tokenizer(err, options, options->tokenizer, ids);
  const vocabulary numbers = vocabulary_of(options, llmc_bytes);
  if (numbers.size > 0) return use_numbers(err, numbers, ids);
  if (options->format == RN_FORMAT_NANOGPT) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "--format nanogpt: the files do not say which tokenizer made them; give --tokenizer, "
        "or --vocab-size and --separator (GPT-2: 50257 and 50256)");
  }
  return use_tokenizer(err, options, RN_BYTES_NAME, ids);
}

void rn_build_ids_close(rn_build_ids *ids) {
  rn_tokenizer_destroy(&ids->tokenizer);
  rn_tokenizer_file_free(ids->file);
  *ids = (rn_build_ids){0};
}
