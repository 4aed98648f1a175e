#include "trainer/evaluate.h"

#include <math.h>

#include "comm/reduce.h"
#include "data/batch.h"
#include "proto/cut.h"
#include "trainer/pipeline.h"

/* What one evaluation works with. */
typedef struct evaluator {
  const rn_loaded *model;
  rn_split *split;
  rn_form form;
  rn_grid *grid;
  rn_scan_source scan;
  rn_batch batch;
  rn_pipeline pipeline;
  double text_bytes; /* of the targets on this rank */
} evaluator;

static void count_rows(evaluator *e, rn_evaluation *out) {
  const int32_t document = (int32_t)rn_split_header(e->split)->document_token;
  for (int t = 0; t < e->batch.tokens; t++) {
    const int bucket = (int)floor(log2((double)(e->batch.position + t + 1)));
    out->bucket_loss[bucket] += e->pipeline.token_loss[t];
    out->bucket_tokens[bucket] += 1;
    e->text_bytes += e->batch.target[t] != document;
  }
}

static rn_status evaluate_one(rn_err *err, evaluator *e, rn_world *world, int64_t stored,
                              int64_t length, rn_evaluation *out) {
  const rn_range piece = rn_cut(length, rn_grid_sequence_size(e->grid), rn_grid_sequence(e->grid));
  rn_batch_start(&e->batch, piece.begin, piece.end);
  RN_TRY(err, rn_agree(err, world,
                       rn_batch_add(err, &e->batch, e->split, stored, out->sequence_length, stored,
                                    e->model->manifest->config->data->reset_at_documents)));
  const rn_unit unit = {.sequences = 1,
                        .tokens = e->batch.tokens,
                        .input = e->batch.input,
                        .target = e->batch.target,
                        .since = e->batch.since,
                        .sequence_number = e->batch.sequence_number,
                        .position = e->batch.position};
  rn_scan_port *port = rn_scan_source_port(&e->scan, RN_SCAN_FORWARD, 0, 0);
  RN_TRY(err, rn_pipeline_loss_of_unit(err, &e->pipeline, &unit, e->form, port, &out->loss));
  count_rows(e, out);
  return RN_OK;
}

static rn_status open_evaluator(rn_err *err, evaluator *e, rn_world *world, int length) {
  const rn_spec *spec = &e->model->spec;
  const int ranks = rn_world_size(world);
  RN_TRY(err, rn_grid_create(err, world, 1, 1, ranks, &e->grid));
  const rn_scan_source_shape scan = {
      .wanted = RETNET__SCAN__SCAN_CHAIN, .layers = spec->layers, .sequences = 1, .bands = 1};
  RN_TRY(err, rn_scan_source_create(err, e->grid, spec, scan, &e->scan));
  const int tokens = (length + ranks - 1) / ranks;
  RN_TRY(err, rn_batch_create(err, 1, tokens, length, &e->batch));
  const rn_pipeline_shape shape = {.last_layer = spec->layers, .sequences = 1, .tokens = tokens};
  RN_TRY(err, rn_pipeline_create(err, spec, shape, NULL, &e->pipeline));
  e->pipeline.params = e->model->params;
  return RN_OK;
}

static void close_evaluator(evaluator *e) {
  rn_pipeline_destroy(&e->pipeline);
  rn_batch_destroy(&e->batch);
  rn_scan_source_destroy(&e->scan);
  rn_grid_destroy(&e->grid);
}

static rn_status sum_up(rn_err *err, evaluator *e, rn_evaluation *out) {
  double sums[2] = {out->loss, e->text_bytes};
  RN_TRY(err, rn_sum_doubles(err, e->grid, sums, 2));
  for (int i = 0; i < RN_EVALUATE_BUCKETS; i++) {
    double bucket[2] = {out->bucket_loss[i], out->bucket_tokens[i]};
    RN_TRY(err, rn_sum_doubles(err, e->grid, bucket, 2));
    out->bucket_loss[i] = bucket[1] > 0 ? bucket[0] / bucket[1] : 0;
    out->bucket_tokens[i] = bucket[1];
    if (bucket[1] > 0) out->buckets = i + 1;
  }
  out->loss = sums[0] / (double)out->tokens;
  out->bits_per_byte = sums[1] > 0 ? sums[0] / log(2.0) / sums[1] : NAN;
  return RN_OK;
}

rn_status rn_evaluate(rn_err *err, rn_world *world, const rn_loaded *model, rn_split *split,
                      rn_form form, int sequence_length, rn_evaluation *out) {
  evaluator e = {.model = model, .split = split, .form = form};
  *out = (rn_evaluation){.sequence_length = sequence_length, .tokens = split->tokens - 1};
  if (split->tokens < 2) return rn_fail(err, RN_ERR_USAGE, "the split holds no target");
  if (rn_split_header(split)->vocabulary > (uint32_t)model->spec.vocab) {
    return rn_fail(err, RN_ERR_USAGE, "the data's vocabulary %u is larger than the model's %d",
                   rn_split_header(split)->vocabulary, model->spec.vocab);
  }
  rn_status status = rn_agree(err, world, open_evaluator(err, &e, world, sequence_length));
  for (int64_t at = 0; status == RN_OK && at < out->tokens; at += sequence_length) {
    const int64_t left = out->tokens - at;
    status = evaluate_one(err, &e, world, at / sequence_length,
                          left < sequence_length ? left : sequence_length, out);
    out->sequences++;
  }
  if (status == RN_OK) status = sum_up(err, &e, out);
  close_evaluator(&e);
  return status;
}
