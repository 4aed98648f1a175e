#include "trainer/evaluate/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/text/tokenizer.h"
#include "proto/base/arena.h"
#include "trainer/checkpoint/checkpoint_tokenizer.h"

/* Sums that rank 0 collects during an evaluation. */
typedef struct tally {
  const rn_windows *windows;
  const rn_evaluation_options *options;
  rn_evaluation *out;
  int32_t document_token;
  double sum, text_targets;   /* sum of losses; number of targets except document tokens */
  rn_document_loss *document; /* [windows->texts]; finish() turns the sums of losses into means */
} tally;

/* ---- windows ---- */

static rn_score_window window_at(const void *self, int64_t index) {
  return rn_windows_at(self, index);
}

static rn_status split_read(void *self, rn_err *err, int64_t first, int64_t count,
                            int32_t *tokens) {
  return rn_split_read(err, self, first, count, tokens);
}

static rn_status make_windows(rn_err *err, rn_split *split, const rn_evaluation_options *o,
                              rn_windows *out) {
  const rn_windows_shape shape = {o->sequence_length,
                                  o->stride > 0 ? o->stride : o->sequence_length};
  return o->by_document ? rn_windows_of_documents(err, split, shape, out)
                        : rn_windows_of_split(err, split, shape, out);
}

/* ---- tally ---- */

static void count_target(tally *t, int64_t text, int position, const rn_token_score *score) {
  const int bucket = (int)floor(log2((double)position + 1));
  t->sum += (double)score->loss;
  t->text_targets += score->target != t->document_token;
  t->out->bucket_loss[bucket] += (double)score->loss;
  t->out->bucket_tokens[bucket] += 1;
  if (t->document == NULL) return;
  t->document[text].loss += (double)score->loss;
  t->document[text].tokens++;
}

static rn_status count_window(void *self, rn_err *err, int64_t window,
                              const rn_token_score *score) {
  tally *t = self;
  const rn_score_window w = rn_windows_at(t->windows, window);
  const int64_t text = rn_windows_text_of(t->windows, window);
  const int from = w.tokens - w.counted;
  const bool by_document = t->options->by_document;
  (void)err;
  for (int i = from; i < w.tokens; i++) count_target(t, text, i, &score[i]);
  if (t->options->tokens == NULL) return RN_OK;
  const rn_token_line line = {.set = t->options->set,
                              .kind = by_document ? "document" : "sequence",
                              .index = by_document ? text : window,
                              .position = w.first + from + 1 - t->windows->text[text].token};
  rn_token_file_write(t->options->tokens, line, score + from, w.counted);
  return RN_OK;
}

/*
 * Returns the number of text bytes that the targets of the split encode, or NAN if it is unknown.
 * With the byte tokenizer, each of the `text_targets` targets that are not document tokens is one
 * byte. For other tokenizers the shards record the number. The first token of a split, which is not
 * a target, is a document token and encodes no text.
 */
static double bytes_of_targets(const rn_split *split, double text_targets) {
  double bytes = 0;
  const char *tokenizer = rn_split_header(split)->tokenizer;
  if (strcmp(tokenizer, rn_tokenizer_kind().tokenizer) == 0) return text_targets;
  for (int i = 0; i < split->shards; i++) {
    const Retnet__ShardFooter *footer = split->shard[i].footer;
    if (footer->text_bytes == 0) return NAN;
    bytes += (double)footer->text_bytes;
  }
  return bytes;
}

/* Turns the sums of rank 0 into means. */
static void finish(tally *t, const rn_split *split) {
  rn_evaluation *out = t->out;
  const double bytes = bytes_of_targets(split, t->text_targets);
  for (int i = 0; i < RN_EVALUATE_BUCKETS; i++) {
    if (out->bucket_tokens[i] == 0) continue;
    out->bucket_loss[i] /= out->bucket_tokens[i];
    out->buckets = i + 1;
  }
  out->loss = t->sum / (double)out->tokens;
  out->bits_per_byte = bytes > 0 ? t->sum / log(2.0) / bytes : NAN;
  for (int64_t i = 0; t->document != NULL && i < t->windows->texts; i++) {
    t->document[i].loss /= (double)t->document[i].tokens;
  }
}

/* ---- evaluation ---- */

static rn_status check(rn_err *err, const rn_checkpoint_model *model, const rn_split *split,
                       const rn_evaluation_options *o) {
  if (split->tokens < 2) {
    return rn_fail(err, RN_ERR_USAGE, "the split has fewer than 2 tokens, so it has no targets");
  }
  if (o->stride > o->sequence_length) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "--stride %d is larger than the sequence length %d: some tokens would be in no window",
        o->stride, o->sequence_length);
  }
  if (rn_split_header(split)->vocabulary <= (uint32_t)model->spec.vocab) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "the vocabulary of the data (%u) is larger than that of the model (%d)",
                 rn_split_header(split)->vocabulary, model->spec.vocab);
}

static rn_status evaluate_windows(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                                  rn_split *split, tally *t) {
  const rn_evaluation_options *o = t->options;
  const rn_scoring scoring = {.windows = {t->windows, window_at, t->windows->count},
                              .capacity = o->by_document ? o->sequence_length : 0,
                              .form = o->form,
                              .parallel = o->parallel};
  const bool resets = rn_ckpt_config(model->manifest)->data->reset_at_documents;
  const int32_t document = t->document_token;
  const int32_t begin = rn_checkpoint_begin_token(model->manifest->vocabulary, document);
  const rn_window_source source = {split, split_read, document, begin, resets};
  RN_TRY(err, rn_score_windows(err, world, model, &scoring, source,
                               (rn_score_visitor){t, count_window}));
  if (rn_world_rank(world) == 0) finish(t, split);
  return rn_world_broadcast(err, world, t->out, sizeof *t->out);
}

rn_status rn_evaluate(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                      rn_split *split, const rn_evaluation_options *options, rn_evaluation *out) {
  rn_windows windows = {.text = NULL};
  tally t = {.windows = &windows, .options = options, .out = out};
  memset(out, 0, sizeof *out);
  rn_status status = check(err, model, split, options);
  if (status == RN_OK) status = make_windows(err, split, options, &windows);
  if (status == RN_OK && options->documents != NULL) {
    status = rn_alloc(err, "documents", (size_t)windows.texts, sizeof *t.document, &t.document);
  }
  status = rn_agree(err, world, status);
  if (status == RN_OK) {
    out->sequence_length = options->sequence_length;
    out->tokens = split->tokens - 1;
    out->sequences = windows.count;
    t.document_token = (int32_t)rn_split_header(split)->document_token;
    status = evaluate_windows(err, world, model, split, &t);
  }
  if (status == RN_OK && t.document != NULL) {
    *options->documents = t.document;
    *options->document_count = windows.texts;
    t.document = NULL;
  }
  free(t.document);
  rn_windows_free(&windows);
  return status;
}
