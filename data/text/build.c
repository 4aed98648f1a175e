#include "data/text/build.h"

#include <stdlib.h>
#include <string.h>

#include "data/shard/shard.h"
#include "data/text/build_target.h"
#include "data/text/source.h"
#include "data/text/tokenizer.h"
#include "proto/base/random.h"

enum { FEW_DOCUMENTS = 20 };

/* Reads the input once. The first FEW_DOCUMENTS documents are kept in memory, because the way they
 * are split into train and val depends on whether there are more documents. */
typedef struct builder {
  const rn_build_options *options;
  rn_build_report *report;
  rn_build_target target;
  rn_shard_writer *train, *val;
  int64_t first_pass;    /* documents kept in `early` so far */
  unsigned char **early; /* [FEW_DOCUMENTS] */
  size_t *early_bytes;
} builder;

static rn_status put(rn_err *err, rn_shard_writer *writer, const unsigned char *bytes, size_t count,
                     int64_t *tokens) {
  enum { PIECE = 4096 };
  const int32_t document = RN_BYTES_DOCUMENT;
  int32_t ids[PIECE];
  RN_TRY(err, rn_shard_append(err, writer, &document, 1, 0));
  for (size_t at = 0; at < count; at += PIECE) {
    const size_t piece = count - at < PIECE ? count - at : PIECE;
    for (size_t i = 0; i < piece; i++) ids[i] = bytes[at + i];
    RN_TRY(err, rn_shard_append(err, writer, ids, (int64_t)piece, (int64_t)piece));
  }
  *tokens += (int64_t)count + 1;
  return RN_OK;
}

/* With FEW_DOCUMENTS or more: puts the whole document into one split. */
static rn_status put_whole(rn_err *err, builder *b, int64_t number, const unsigned char *bytes,
                           size_t count) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_SPLIT, 0, "val");
  const bool val = rn_random_uniform(key, (uint64_t)number) < b->options->val_fraction;
  return val ? put(err, b->val, bytes, count, &b->report->val_tokens)
             : put(err, b->train, bytes, count, &b->report->train_tokens);
}

/* With fewer documents: puts the last part of each document into val. */
static rn_status put_parts(rn_err *err, builder *b, const unsigned char *bytes, size_t count) {
  const size_t val = (size_t)((double)count * b->options->val_fraction);
  RN_TRY(err, put(err, b->train, bytes, count - val, &b->report->train_tokens));
  if (val == 0) return RN_OK;
  return put(err, b->val, bytes + count - val, val, &b->report->val_tokens);
}

static rn_status put_early(rn_err *err, builder *b) {
  for (int64_t i = 0; i < b->first_pass; i++) {
    RN_TRY(err, put_whole(err, b, i, b->early[i], b->early_bytes[i]));
    free(b->early[i]);
    b->early[i] = NULL;
  }
  return RN_OK;
}

/* Keeps the first documents until FEW_DOCUMENTS are read or the input ends. */
static rn_status take_document(void *self, rn_err *err, const char *name, const void *bytes,
                               size_t count) {
  builder *b = self;
  const int64_t number = b->report->documents++;
  b->report->bytes += (int64_t)count;
  if (b->options->progress != NULL) b->options->progress(b->report);
  if (number >= FEW_DOCUMENTS) return put_whole(err, b, number, bytes, count);
  b->early[number] = malloc(count + 1);
  if (b->early[number] == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading %s", name);
  memcpy(b->early[number], bytes, count);
  b->early_bytes[number] = count;
  b->first_pass = number + 1;
  return b->first_pass == FEW_DOCUMENTS ? put_early(err, b) : RN_OK;
}

static rn_status read_inputs(rn_err *err, builder *b) {
  const rn_source_options source = {.include = b->options->include,
                                    .excluded = b->target.excluded,
                                    .excluded_count = b->target.excluded_count};
  for (int i = 0; i < b->options->inputs; i++) {
    RN_TRY(err, rn_source_visit(err, b->options->input[i], &source, take_document, b,
                                &b->report->passed_by));
  }
  const rn_source_counts *passed_by = &b->report->passed_by;
  if (b->report->documents == 0 && passed_by->not_included > 0 && passed_by->empty_files == 0) {
    return rn_fail(err, RN_ERR_NOT_FOUND,
                   "the inputs contain no text: of their %lld files, no name matches --include %s",
                   (long long)passed_by->not_included, b->options->include);
  }
  if (b->report->documents == 0) {
    return rn_fail(err, RN_ERR_NOT_FOUND,
                   "the inputs contain no text (%lld empty files and %lld other entries skipped)",
                   (long long)passed_by->empty_files, (long long)passed_by->left_out);
  }
  for (int64_t i = 0; b->report->documents < FEW_DOCUMENTS && i < b->first_pass; i++) {
    RN_TRY(err, put_parts(err, b, b->early[i], b->early_bytes[i]));
  }
  return RN_OK;
}

static rn_status close_split(rn_err *err, rn_shard_writer **writer, int64_t *tokens) {
  const int32_t document = RN_BYTES_DOCUMENT;
  RN_TRY(err, rn_shard_append(err, *writer, &document, 1, 0));
  *tokens += 1;
  return rn_shard_finish(err, writer);
}

static rn_status write_splits(rn_err *err, builder *b, const char *folder) {
  const rn_path train = rn_path_join(folder, "train"), val = rn_path_join(folder, "val");
  const rn_shard_kind kind = rn_tokenizer_kind();
  RN_TRY(err, rn_file_make_folder(err, train.text));
  RN_TRY(err,
         rn_shard_writer_create(err, rn_path_join(train.text, "00000.rtd").text, kind, &b->train));
  RN_TRY(err, rn_file_make_folder(err, val.text));
  RN_TRY(err, rn_shard_writer_create(err, rn_path_join(val.text, "00000.rtd").text, kind, &b->val));
  RN_TRY(err, read_inputs(err, b));
  RN_TRY(err, close_split(err, &b->train, &b->report->train_tokens));
  if (b->report->val_tokens == 0) {
    rn_shard_abandon(&b->val);
    return rn_file_remove_tree(err, val.text);
  }
  return close_split(err, &b->val, &b->report->val_tokens);
}

rn_status rn_build(rn_err *err, const rn_build_options *options, rn_build_report *report) {
  *report = (rn_build_report){0};
  if (!(options->val_fraction >= 0 && options->val_fraction < 1)) {
    return rn_fail(err, RN_ERR_USAGE, "--val-fraction: must be at least 0 and less than 1");
  }
  unsigned char *early[FEW_DOCUMENTS] = {0};
  size_t early_bytes[FEW_DOCUMENTS] = {0};
  builder b = {.options = options, .report = report, .early = early, .early_bytes = early_bytes};
  rn_status status = rn_build_target_open(err, options->out, &b.target);
  if (status == RN_OK) status = write_splits(err, &b, b.target.work.text);
  rn_shard_abandon(&b.train);
  rn_shard_abandon(&b.val);
  for (int i = 0; i < FEW_DOCUMENTS; i++) free(early[i]);
  if (status == RN_OK) status = rn_build_target_publish(err, &b.target);
  rn_build_target_abandon(&b.target);
  return status;
}
