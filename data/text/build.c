#include "data/text/build.h"

#include <stdlib.h>

#include "data/batch/split.h"
#include "data/text/build_split.h"
#include "data/text/build_target.h"
#include "data/text/encode_queue.h"
#include "data/text/source.h"
#include "data/tokenizer/tokenizer_file.h"

/* State of one build. */
typedef struct builder {
  const rn_build_options *options;
  rn_build_report *report;
  rn_build_target target;
  Retnet__Tokenizer *file; /* NULL: the byte tokenizer */
  rn_tokenizer *tokenizer;
  rn_encode_queue *queue;
  rn_build_split split;
} builder;

static rn_status take_tokens(void *self, rn_err *err, const rn_tokens *tokens, bool begins,
                             bool ends) {
  (void)ends;
  builder *b = self;
  return rn_build_split_add(err, &b->split, tokens, begins);
}

static rn_status take_piece(void *self, rn_err *err, const rn_document_piece *piece) {
  builder *b = self;
  b->report->documents += piece->begins;
  b->report->bytes += (int64_t)piece->count;
  if (b->options->progress != NULL) b->options->progress(b->report);
  return rn_encode_queue_add(err, b->queue, piece->bytes, piece->count, piece->ends);
}

static rn_status read_inputs(rn_err *err, builder *b) {
  const rn_source_options source = {.include = b->options->include,
                                    .excluded = b->target.excluded,
                                    .excluded_count = b->target.excluded_count};
  int64_t total = 0;
  bool measured = true;
  for (int i = 0; i < b->options->inputs; i++) {
    measured = measured && rn_source_measure(b->options->input[i], &source, &total);
  }
  b->report->input_bytes = measured ? total : 0;
  for (int i = 0; i < b->options->inputs; i++) {
    RN_TRY(err, rn_source_visit(err, b->options->input[i], &source, take_piece, b,
                                &b->report->passed_by));
  }
  const rn_source_counts *passed_by = &b->report->passed_by;
  if (b->report->documents > 0) return rn_encode_queue_flush(err, b->queue);
  if (passed_by->not_included > 0 && passed_by->empty_files == 0) {
    return rn_fail(err, RN_ERR_NOT_FOUND,
                   "the inputs contain no text: of their %lld files, no name matches --include %s",
                   (long long)passed_by->not_included, b->options->include);
  }
  return rn_fail(err, RN_ERR_NOT_FOUND,
                 "the inputs contain no text (%lld empty files and %lld other entries skipped)",
                 (long long)passed_by->empty_files, (long long)passed_by->left_out);
}

/* Writes the tokenizer into both splits, so that each split can be used without the other. */
static rn_status write_tokenizer(rn_err *err, const builder *b, const char *folder) {
  static const char *const names[] = {"train", "val"};
  void *packed = NULL;
  size_t bytes = 0;
  if (b->file == NULL) return RN_OK;
  rn_status status = rn_tokenizer_file_pack(err, b->file, &packed, &bytes);
  for (int i = 0; status == RN_OK && i < 2; i++) {
    const rn_path split = rn_path_join(folder, names[i]);
    if (!rn_file_exists(split.text)) continue;
    status =
        rn_file_replace(err, rn_path_join(split.text, RN_SPLIT_TOKENIZER_FILE).text, packed, bytes);
  }
  free(packed);
  return status;
}

static rn_status write_splits(rn_err *err, builder *b, const char *folder) {
  const rn_shard_kind kind = {b->tokenizer->name, b->tokenizer->hash, b->tokenizer->vocabulary,
                              b->tokenizer->document};
  RN_TRY(err, rn_build_split_open(err, folder, kind, b->options->val_fraction, &b->split));
  RN_TRY(err, rn_encode_queue_create(err, b->tokenizer, b->options->special_tokens,
                                     (rn_queue_visitor){take_tokens, b}, &b->queue));
  RN_TRY(err, read_inputs(err, b));
  RN_TRY(err, rn_build_split_finish(err, &b->split, folder));
  b->report->train_tokens = b->split.train_tokens;
  b->report->val_tokens = b->split.val_tokens;
  return write_tokenizer(err, b, folder);
}

static rn_status open_tokenizer(rn_err *err, builder *b) {
  RN_TRY(err, rn_tokenizer_file_read(err, b->options->tokenizer, &b->file));
  return rn_tokenizer_create(err, b->file, &b->tokenizer);
}

rn_status rn_build(rn_err *err, const rn_build_options *options, rn_build_report *report) {
  *report = (rn_build_report){0};
  if (!(options->val_fraction >= 0 && options->val_fraction < 1)) {
    return rn_fail(err, RN_ERR_USAGE, "--val-fraction: must be at least 0 and less than 1");
  }
  builder b = {.options = options, .report = report};
  rn_status status = open_tokenizer(err, &b);
  if (status == RN_OK) status = rn_build_target_open(err, options->out, &b.target);
  if (status == RN_OK) status = write_splits(err, &b, b.target.work.text);
  report->lossless = b.tokenizer != NULL && b.tokenizer->lossless;
  rn_build_split_close(&b.split);
  rn_encode_queue_destroy(&b.queue);
  rn_tokenizer_destroy(&b.tokenizer);
  rn_tokenizer_file_free(b.file);
  if (status == RN_OK) status = rn_build_target_publish(err, &b.target);
  rn_build_target_abandon(&b.target);
  return status;
}
