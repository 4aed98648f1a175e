#include "data/text/build.h"

#include <stdlib.h>
#include <string.h>

#include "data/batch/split.h"
#include "data/text/build_ids.h"
#include "data/text/build_split.h"
#include "data/text/build_target.h"
#include "data/text/encode_queue.h"
#include "data/text/source.h"

/* State of one build. */
typedef struct builder {
  const rn_build_options *options;
  rn_build_report *report;
  rn_build_target target;
  rn_build_ids ids;
  rn_encode_queue *queue; /* NULL: without a tokenizer */
  rn_build_split split;
  rn_tokens tokens; /* ids of the current piece of a token file */
} builder;

static rn_status take_tokens(void *self, rn_err *err, const rn_tokens *tokens, bool begins,
                             bool ends) {
  (void)ends;
  builder *b = self;
  return rn_build_split_add(err, &b->split, tokens, begins);
}

/* Fills b->tokens with the ids of a piece and, for each id, the number of text bytes to which the
 * tokenizer decodes it (0 without a tokenizer). Adds these numbers to the report. */
static rn_status add_text_bytes(rn_err *err, builder *b, const rn_document_piece *piece) {
  const void *ignored = NULL;
  b->tokens.count = 0;
  for (size_t i = 0; i < piece->count; i++) {
    size_t bytes = 0;
    if (b->ids.tokenizer != NULL) {
      RN_TRY(err, rn_tokenizer_token(err, b->ids.tokenizer, piece->id[i], &ignored, &bytes));
    }
    b->report->bytes += (int64_t)bytes;
    RN_TRY(err, rn_tokens_add(err, &b->tokens, piece->id[i], (uint32_t)bytes));
  }
  return RN_OK;
}

static rn_status take_ids(rn_err *err, builder *b, const rn_document_piece *piece) {
  if (b->queue != NULL) RN_TRY(err, rn_encode_queue_flush(err, b->queue));
  RN_TRY(err, add_text_bytes(err, b, piece));
  return rn_build_split_add(err, &b->split, &b->tokens, piece->begins);
}

static rn_status take_piece(void *self, rn_err *err, const rn_document_piece *piece) {
  builder *b = self;
  b->report->documents += piece->begins;
  if (b->options->progress != NULL) b->options->progress(b->report);
  if (piece->bytes == NULL) return take_ids(err, b, piece);
  b->report->bytes += (int64_t)piece->count;
  return rn_encode_queue_add(err, b->queue, piece->name, piece->bytes, piece->count, piece->ends);
}

/* True for NAME.idx if NAME.bin is also an input, because reading NAME.bin also reads its index. */
static bool is_index_of_input(const rn_build_options *options, const char *input) {
  const rn_path data = rn_token_file_sibling(input, ".bin");
  if (data.text[0] == '\0' || strcmp(data.text, input) == 0) return false;
  for (int i = 0; i < options->inputs; i++) {
    if (strcmp(options->input[i], data.text) == 0) return true;
  }
  return false;
}

static rn_source_options source_options(builder *b) {
  return (rn_source_options){.include = b->options->include,
                             .excluded = b->target.excluded,
                             .excluded_count = b->target.excluded_count,
                             .tokens = &b->ids.inputs};
}

static rn_status read_inputs(rn_err *err, builder *b) {
  const rn_source_options source = source_options(b);
  for (int i = 0; i < b->options->inputs; i++) {
    if (is_index_of_input(b->options, b->options->input[i])) continue;
    RN_TRY(err, rn_source_visit(err, b->options->input[i], &source, take_piece, b,
                                &b->report->passed_by));
  }
  const rn_source_counts *passed_by = &b->report->passed_by;
  if (b->report->documents > 0) {
    return b->queue != NULL ? rn_encode_queue_flush(err, b->queue) : RN_OK;
  }
  if (passed_by->not_included > 0 && passed_by->empty_files == 0) {
    return rn_fail(
        err, RN_ERR_NOT_FOUND,
        "the inputs contain no text or tokens: of their %lld files, no name matches --include %s",
        (long long)passed_by->not_included, b->options->include);
  }
  return rn_fail(
      err, RN_ERR_NOT_FOUND,
      "the inputs contain no text or tokens (%lld empty files and %lld other entries skipped)",
      (long long)passed_by->empty_files, (long long)passed_by->left_out);
}

/* Writes the tokenizer into both splits, so that each split can be used without the other. */
static rn_status write_tokenizer(rn_err *err, const builder *b, const char *folder) {
  static const char *const names[] = {"train", "val"};
  void *packed = NULL;
  size_t bytes = 0;
  if (b->ids.file == NULL) return RN_OK;
  rn_status status = rn_tokenizer_file_pack(err, b->ids.file, &packed, &bytes);
  for (int i = 0; status == RN_OK && i < 2; i++) {
    const rn_path split = rn_path_join(folder, names[i]);
    bool exists = false;
    status = rn_file_find(err, split.text, &exists);
    if (!exists) continue;
    status =
        rn_file_replace(err, rn_path_join(split.text, RN_SPLIT_TOKENIZER_FILE).text, packed, bytes);
  }
  free(packed);
  return status;
}

static rn_status write_splits(rn_err *err, builder *b, const char *folder) {
  RN_TRY(err, rn_build_split_open(err, folder, b->ids.kind, b->options->val_fraction, &b->split));
  if (b->ids.tokenizer != NULL) {
    RN_TRY(err, rn_encode_queue_create(err, b->ids.tokenizer, b->options->special_tokens, 0,
                                       (rn_queue_visitor){take_tokens, b}, &b->queue));
  }
  RN_TRY(err, read_inputs(err, b));
  RN_TRY(err, rn_build_split_finish(err, &b->split, folder));
  b->report->train_tokens = b->split.train_tokens;
  b->report->val_tokens = b->split.val_tokens;
  return write_tokenizer(err, b, folder);
}

/* Adds up the sizes of the inputs; sets *llmc_bytes to the size of a token in the first llm.c file.
 */
static rn_status measure_inputs(rn_err *err, builder *b, int *llmc_bytes) {
  const rn_source_options source = source_options(b);
  rn_source_counts counts = {0};
  b->ids.inputs.format = b->options->format;
  for (int i = 0; i < b->options->inputs; i++) {
    RN_TRY(err, rn_source_measure(err, b->options->input[i], &source, &counts));
  }
  b->report->input_bytes = counts.unmeasured == 0 ? counts.read_bytes : 0;
  *llmc_bytes = counts.llmc_bytes;
  return RN_OK;
}

rn_status rn_build(rn_err *err, const rn_build_options *options, rn_build_report *report) {
  *report = (rn_build_report){0};
  if (!(options->val_fraction >= 0 && options->val_fraction < 1)) {
    return rn_fail(err, RN_ERR_USAGE, "--val-fraction must be at least 0 and less than 1");
  }
  builder b = {.options = options, .report = report};
  int llmc_bytes = 0;
  rn_status status = measure_inputs(err, &b, &llmc_bytes);
  if (status == RN_OK) status = rn_build_ids_open(err, options, llmc_bytes, &b.ids);
  if (status == RN_OK) status = rn_build_target_open(err, options->out, &b.target);
  if (status == RN_OK) status = write_splits(err, &b, b.target.work.text);
  report->lossless = b.ids.tokenizer == NULL || b.ids.tokenizer->lossless;
  rn_build_split_close(&b.split);
  rn_encode_queue_destroy(&b.queue);
  rn_tokens_free(&b.tokens);
  rn_build_ids_close(&b.ids);
  if (status == RN_OK) status = rn_build_target_publish(err, &b.target);
  rn_build_target_abandon(&b.target);
  return status;
}
