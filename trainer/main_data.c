/* retnet-data builds, describes, checks, recovers and prints data folders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/batch/split.h"
#include "data/text/build.h"
#include "data/text/split_tokenizer.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/cli/commands.h"
#include "trainer/machine/program_version.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* Values of options. */
static struct {
  const char *out, *tokenizer, *special_tokens, *format, *include, *range;
  int64_t vocab_size, separator;
  double val_fraction;
  bool text;
} given = {.separator = -1, .val_fraction = 0.01};

/* Shows the number of documents and megabytes, the rate and, if the size of the input is known, the
 * time left; at most four times a second. */
static void show_progress(const rn_build_report *so_far) {
  static double start_s, next_s;
  const double now_s = rn_clock_s();
  if (start_s == 0) start_s = now_s;
  if (now_s < next_s) return;
  next_s = now_s + 0.25;
  const double read =
      (double)(so_far->passed_by.read_bytes + so_far->passed_by.current.stored_bytes);
  const double left = (double)so_far->input_bytes - read, rate = read / (now_s - start_s + 1e-9);
  char eta[48] = "";
  if (left >= 0 && so_far->input_bytes > 0 && now_s > start_s + 0.5) {
    snprintf(eta, sizeof eta, ", %.0f %%, %.0f s left", 100 * read / (read + left), left / rate);
  }
  rn_log_progress("%lld documents, %.1f MB, %.1f MB/s%s", (long long)so_far->documents,
                  (double)so_far->bytes / 1e6, now_s > start_s ? rate / 1e6 : 0, eta);
}

static void print_passed_by(const rn_source_counts *counts) {
  if (counts->decompressed > 0) {
    printf("; %lld compressed files (.zst, .gz)", (long long)counts->decompressed);
  }
  if (counts->empty_files > 0) {
    printf("; %lld empty files skipped", (long long)counts->empty_files);
  }
  if (counts->blank_lines > 0) {
    printf("; %lld blank lines skipped", (long long)counts->blank_lines);
  }
  if (counts->left_out > 0) {
    printf(
        "; %lld entries skipped (folders already read, links that lead nowhere or may not be "
        "followed, special files)",
        (long long)counts->left_out);
  }
  printf("\n");
  if (counts->compressed > 0) {
    rn_log_warn(
        "%lld files (the first is %s) look compressed, but were packed unchanged; only .zst and "
        ".gz files are decompressed",
        (long long)counts->compressed, counts->first_compressed);
  }
  if (counts->headerless > 0) {
    rn_log_warn(
        "%lld .bin files (the first is %s) were packed as bytes; if they hold u16 tokens in the "
        "format of nanoGPT, build again with --tokenizer and the tokenizer that made them, or with "
        "--vocab-size",
        (long long)counts->headerless, counts->first_headerless);
  }
}

/* Warns of options that do not apply to any of the inputs. */
static void report_unused(const rn_source_counts *inputs) {
  if (given.separator >= 0 && inputs->token_files == 0) {
    rn_log_warn("--separator %lld has no effect: none of the inputs is a token file",
                (long long)given.separator);
  }
  if (given.special_tokens != NULL && inputs->text_inputs == 0) {
    rn_log_warn("--special-tokens %s has no effect: none of the inputs is a text",
                given.special_tokens);
  }
  if (given.include != NULL && inputs->folders == 0) {
    rn_log_warn(
        "--include %s has no effect: it selects files in folders, and none of the inputs is "
        "a folder",
        given.include);
  }
}

static rn_status build(rn_err *err, const rn_words *words) {
  int format = RN_FORMAT_AUTO;
  if (given.format != NULL) {
    RN_TRY(err, rn_args_choose(err, "--format", given.format, rn_token_format_names, RN_FORMATS,
                               &format));
  }
  const rn_build_options options = {.out = given.out,
                                    .include = given.include,
                                    .tokenizer = given.tokenizer,
                                    .format = (rn_token_format)format,
                                    .vocab_size = (int)given.vocab_size,
                                    .separator = (int)given.separator,
                                    .special_tokens = given.special_tokens,
                                    .val_fraction = given.val_fraction,
                                    .progress = show_progress,
                                    .input = words->word,
                                    .inputs = words->count};
  rn_build_report report;
  if (given.out == NULL) return rn_fail(err, RN_ERR_USAGE, "--out DIR is required");
  rn_status status = rn_build(err, &options, &report);
  rn_log_progress("%s", "");
  if (status != RN_OK) return status;
  printf("%s: %lld documents, %lld bytes; train %lld tokens, val %lld tokens", given.out,
         (long long)report.documents, (long long)report.bytes, (long long)report.train_tokens,
         (long long)report.val_tokens);
  print_passed_by(&report.passed_by);
  if (given.val_fraction > 0 && report.val_tokens == 0) {
    rn_log_info(
        "note: there is no val split, because with --val-fraction %g of %lld documents it would be "
        "empty; try a larger fraction",
        given.val_fraction, (long long)report.documents);
  }
  report_unused(&report.passed_by);
  if (!report.lossless) {
    rn_log_info(
        "note: this tokenizer may normalise text: decoding does not always give back every "
        "byte");
  }
  return RN_OK;
}

/* Prints a description of a split. A document token at the end of the split does not begin a
 * document, so it is not counted as one. */
static rn_status print_split(rn_err *err, const char *name, rn_split *split) {
  int64_t documents = 0, text = 0, stored = 0;
  int32_t last = -1;
  if (split->tokens > 0) RN_TRY(err, rn_split_read(err, split, split->tokens - 1, 1, &last));
  for (int i = 0; i < split->shards; i++) {
    documents += (int64_t)split->shard[i].footer->documents;
    text += (int64_t)split->shard[i].footer->text_bytes;
    stored += split->shard[i].file.size_bytes;
  }
  documents -= last == (int32_t)rn_split_header(split)->document_token;
  printf("%-6s %d shards, %lld tokens, %lld documents, %lld bytes of text, %lld bytes stored\n",
         name, split->shards, (long long)split->tokens, (long long)documents, (long long)text,
         (long long)stored);
  return RN_OK;
}

/* Calls `each` for the splits train and val of a data folder. If `dir` is itself the folder of a
 * split, calls `each` for that split. */
static rn_status each_split(rn_err *err, const char *dir,
                            rn_status (*each)(rn_err *err, const char *name, rn_split *split)) {
  static const char *const names[] = {"train", "val"};
  for (int i = 0; i < 2; i++) {
    bool exists = true;
    if (i == 1) RN_TRY(err, rn_file_find(err, rn_path_join(dir, names[i]).text, &exists));
    if (!exists) continue;
    rn_split split;
    RN_TRY(err, rn_split_open(err, dir, names[i], &split));
    rn_status status = each(err, names[i], &split);
    rn_split_close(&split);
    RN_TRY(err, status);
  }
  return RN_OK;
}

static rn_status verify_split(rn_err *err, const char *name, rn_split *split) {
  for (int i = 0; i < split->shards; i++) {
    RN_TRY(err, rn_shard_verify(err, split->shard[i].file.path));
  }
  Retnet__Tokenizer *tokenizer = NULL;
  RN_TRY(err, rn_split_tokenizer_file(err, split, &tokenizer));
  rn_tokenizer_file_free(tokenizer);
  printf("%s: %d shards ok\n", name, split->shards);
  return RN_OK;
}

static rn_status stat_data(rn_err *err, const rn_words *words) {
  return each_split(err, words->word[0], print_split);
}

static rn_status verify(rn_err *err, const rn_words *words) {
  return each_split(err, words->word[0], verify_split);
}

static rn_status recover(rn_err *err, const rn_words *words) {
  const char *path = words->word[0];
  rn_shard_recovery saved;
  RN_TRY(err, rn_shard_recover(err, path, &saved));
  printf("%s.recovered: %lld blocks, %lld tokens", path, (long long)saved.blocks,
         (long long)saved.tokens);
  if (saved.lost_bytes > 0) {
    printf("; %lld damaged bytes skipped", (long long)saved.lost_bytes);
  }
  printf("\n");
  return RN_OK;
}

static rn_status print_ids(rn_err *err, rn_split *split, int64_t from, int64_t to) {
  enum { PIECE = 4096 };
  int32_t ids[PIECE];
  for (int64_t at = from; at < to && !ferror(stdout); at += PIECE) {
    const int64_t piece = to - at < PIECE ? to - at : PIECE;
    RN_TRY(err, rn_split_read(err, split, at, piece, ids));
    for (int64_t i = 0; i < piece; i++) printf("%d\n", ids[i]);
  }
  return RN_OK;
}

static rn_status print_document(rn_err *err, const rn_tokenizer *tokenizer, rn_tokens *document) {
  rn_text text = {0};
  const rn_status status =
      rn_tokenizer_decode(err, tokenizer, document->id, document->count, &text);
  if (status == RN_OK && text.count > 0) fwrite(text.bytes, 1, text.count, stdout);
  rn_text_free(&text);
  document->count = 0;
  return status;
}

/* Adds a token to the document to print. A document must be decoded as a whole, because the text of
 * a token can depend on its neighbours. Only with a lossless tokenizer can it be decoded token by
 * token; a long document is then printed in parts. */
static rn_status add_for_print(rn_err *err, const rn_tokenizer *tokenizer, int32_t id,
                               rn_tokens *document) {
  enum { MANY = 1 << 16 };
  if (id == tokenizer->document) return print_document(err, tokenizer, document);
  RN_TRY(err, rn_tokens_add(err, document, id, 0));
  if (!tokenizer->lossless || document->count < MANY) return RN_OK;
  return print_document(err, tokenizer, document);
}

static rn_status print_text(rn_err *err, rn_split *split, const rn_tokenizer *tokenizer,
                            int64_t from, int64_t to) {
  enum { PIECE = 4096 };
  int32_t ids[PIECE];
  rn_tokens document = {0};
  rn_status status = RN_OK;
  for (int64_t at = from; status == RN_OK && at < to && !ferror(stdout); at += PIECE) {
    const int64_t piece = to - at < PIECE ? to - at : PIECE;
    status = rn_split_read(err, split, at, piece, ids);
    for (int64_t i = 0; status == RN_OK && i < piece; i++) {
      status = add_for_print(err, tokenizer, ids[i], &document);
    }
  }
  if (status == RN_OK) status = print_document(err, tokenizer, &document);
  rn_tokens_free(&document);
  return status;
}

/* Parses one bound of a range A:B, up to the character `stop`; if the bound is empty, sets *out to
 * `otherwise`. Returns a pointer to `stop`, or NULL if the text is not a number. */
static const char *read_end(const char *text, char stop, int64_t otherwise, int64_t *out) {
  char *end = NULL;
  *out = otherwise;
  if (*text == stop) return text;
  if (*text < '0' || *text > '9') return NULL;
  *out = strtoll(text, &end, 10);
  return *end == stop ? end : NULL;
}

static rn_status read_range(rn_err *err, int64_t tokens, int64_t *from, int64_t *to) {
  const char *colon = read_end(given.range != NULL ? given.range : ":", ':', 0, from);
  if (colon == NULL || read_end(colon + 1, '\0', tokens, to) == NULL || *to < *from ||
      *to > tokens) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--range %s: expected A:B, for tokens A to B-1 of %lld; A and B may be omitted",
                   given.range, (long long)tokens);
  }
  return RN_OK;
}

static rn_status cat_split(rn_err *err, rn_split *split) {
  int64_t from = 0, to = 0;
  rn_tokenizer *tokenizer = NULL;
  RN_TRY(err, read_range(err, split->tokens, &from, &to));
  if (!given.text) return print_ids(err, split, from, to);
  RN_TRY(err, rn_split_tokenizer(err, split, &tokenizer));
  const rn_status status = print_text(err, split, tokenizer, from, to);
  rn_tokenizer_destroy(&tokenizer);
  return status;
}

static rn_status cat(rn_err *err, const rn_words *words) {
  rn_split split;
  RN_TRY(err, rn_split_open(err, words->word[0], "train", &split));
  const rn_status status = cat_split(err, &split);
  rn_split_close(&split);
  return status;
}

static const rn_arg build_options[] = {
    {0, "out", "DIR", "folder to create with train/ and val/ in it; must be empty or absent",
     RN_ARG_PATH, &given.out, 0, 0},
    {0, "tokenizer", "NAME",
     "bytes (default): every byte is a token; tiktoken:FILE: byte-level BPE from a rank file; "
     "hf:FILE_OR_DIR: byte-level BPE from a tokenizer.json, or vocab.json with merges.txt; "
     "spm:FILE: a sentencepiece model",
     RN_ARG_TEXT, &given.tokenizer, 0, 0},
    {0, "format", "NAME",
     "format of the inputs: auto (default): by name and content; text; nanogpt: u16 token ids "
     "without a header; llmc: token files of llm.c; megatron: NAME.bin with NAME.idx of "
     "Megatron-LM",
     RN_ARG_TEXT, &given.format, 0, 0},
    {0, "vocab-size", "N",
     "number of token ids, for token files whose tokenizer you do not have (instead of "
     "--tokenizer; default for llm.c: that of GPT-2 or Llama 3)",
     RN_ARG_INTEGER, &given.vocab_size, 1, 1 << 30},
    {0, "separator", "ID",
     "id of the token that separates documents in the input token files; default: with a "
     "tokenizer, "
     "its document token, or for llm.c the token that llm.c writes; with --vocab-size N none, so "
     "that only the index of Megatron-LM divides documents. In the shards, the tokenizer's "
     "document "
     "token stands between documents; with --vocab-size N it is ID, or without --separator the new "
     "id N",
     RN_ARG_INTEGER, &given.separator, 0, 1 << 30},
    {0, "special-tokens", "LIST",
     "special tokens that are recognised in the text: names separated by commas, or all (default: "
     "none; they are ordinary text)",
     RN_ARG_TEXT, &given.special_tokens, 0, 0},
    {0, "include", "GLOB", "inside folders, pack only files whose names match GLOB (default: all)",
     RN_ARG_TEXT, &given.include, 0, 0},
    {0, "val-fraction", "F",
     "fraction of the documents that go to the val split (default 0.01); with fewer than 20 "
     "documents, fraction of the tokens of each document, taken from its end",
     RN_ARG_NUMBER, &given.val_fraction, 0, 1}};
static const rn_arg cat_options[] = {
    {0, "text", NULL, "print the text instead of token numbers", RN_ARG_SWITCH, &given.text, 0, 0},
    {0, "range", "A:B", "print tokens A to B-1 (default: all); A and B may be omitted", RN_ARG_TEXT,
     &given.range, 0, 0}};

static const rn_command commands[] = {
    {"build",
     {.program = "retnet-data build",
      .form = "--out DIR [--tokenizer NAME] [--format NAME] [--vocab-size N] [--separator ID] "
              "[--special-tokens LIST] [--include GLOB] [--val-fraction F] INPUT...",
      .about = "Packs text or tokens into shards for training and validation. Each INPUT is a "
               "file, a folder (searched recursively), a quoted file name pattern, or - for "
               "standard input. A file is one document; in a .jsonl file each line is one "
               "document, in its field \"text\". Files that end in .zst or .gz are decompressed. "
               "Token files of nanoGPT and llm.c (.bin) and of Megatron-LM (.bin with .idx) are "
               "read as tokens; a .bin without a header only with a --tokenizer other than bytes, "
               "with --vocab-size, or with --format nanogpt.",
      .example = "retnet-data build --out DATA --val-fraction 0.05 text/ more.jsonl",
      .options = build_options,
      .count = COUNT(build_options),
      .min_words = 1,
      .max_words = -1},
     build},
    {"stat",
     {.program = "retnet-data stat",
      .form = "DIR",
      .about =
          "Prints the numbers of shards, tokens, documents and bytes of each split in the data "
          "folder DIR.",
      .example = "retnet-data stat DATA",
      .min_words = 1,
      .max_words = 1},
     stat_data},
    {"verify",
     {.program = "retnet-data verify",
      .form = "DIR",
      .about = "Verifies the checksums of all shards in the data folder DIR; every byte is "
               "covered. Exits with 1 if a shard is damaged.",
      .example = "retnet-data verify DATA",
      .min_words = 1,
      .max_words = 1},
     verify},
    {"recover",
     {.program = "retnet-data recover",
      .form = "SHARD",
      .about = "Copies the undamaged blocks of a damaged shard to SHARD.recovered; SHARD itself is "
               "not changed.",
      .example = "retnet-data recover DATA/train/00000.rtd",
      .min_words = 1,
      .max_words = 1},
     recover},
    {"cat",
     {.program = "retnet-data cat",
      .form = "[--text] [--range A:B] DIR",
      .about = "Prints the tokens of a split, one number per line. DIR is a data folder (its "
               "training split is read) or a folder that contains shards.",
      .example = "retnet-data cat --text --range 0:1000 DATA/val",
      .options = cat_options,
      .count = COUNT(cat_options),
      .min_words = 1,
      .max_words = 1},
     cat},
};

int main(int argc, char **argv) {
  const rn_commands all = {
      "retnet-data",
      "Builds, inspects and repairs data folders: text packed into shards of tokens.", commands,
      COUNT(commands), rn_program_version};
  rn_log_setup(false, false);
  return rn_commands_main(&all, argc, argv);
}
