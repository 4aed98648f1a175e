#include "trainer/evaluate/evaluate.h"

#include <math.h>
#include <string.h>

#include "comm/optimizer/reduce_scatter.h"
#include "data/batch/batch.h"
#include "data/text/tokenizer.h"
#include "model/base/threads.h"
#include "proto/base/progress.h"
#include "proto/base/range.h"
#include "trainer/launch/launch.h"
#include "trainer/parallel/pipeline.h"

/* State of one evaluation. */
typedef struct evaluator {
  const rn_checkpoint_model *model;
  rn_split *split;
  const rn_evaluation_options *options;
  rn_grid *grid;
  rn_scan_source scan;
  rn_comm_thread *comm_thread; /* or NULL */
  rn_batch batch;
  rn_pipeline pipeline;
  double text_targets; /* targets on this rank that are not document tokens */
} evaluator;

static void count_rows(evaluator *e, rn_evaluation *out) {
  const int32_t document = (int32_t)rn_split_header(e->split)->document_token;
  for (int t = 0; t < e->batch.tokens; t++) {
    const int bucket = (int)floor(log2((double)(e->batch.position + t + 1)));
    out->bucket_loss[bucket] += e->pipeline.token_loss[t];
    out->bucket_tokens[bucket] += 1;
    e->text_targets += e->batch.target[t] != document;
  }
}

/* Reads this rank's segment of sequence `index` of the split. The last sequence may be shorter. */
static rn_status read_own_tokens(rn_err *err, evaluator *e, int64_t index,
                                 const rn_evaluation *out) {
  const int64_t left = out->tokens - index * out->sequence_length;
  const int64_t length = left < out->sequence_length ? left : out->sequence_length;
  const rn_range piece = rn_cut(length, rn_grid_sequence_size(e->grid), rn_grid_sequence(e->grid));
  rn_batch_start(&e->batch, piece.begin, piece.end);
  return rn_batch_add(
      err, &e->batch,
      (rn_sequence_source){e->split, out->sequence_length,
                           rn_ckpt_config(e->model->manifest)->data->reset_at_documents},
      index, index);
}

/* Evaluates one sequence per group of ranks, starting at index `first`. Groups whose index is past
 * the last sequence have nothing to evaluate. */
static rn_status evaluate_next(rn_err *err, evaluator *e, rn_world *world, int64_t first,
                               rn_evaluation *out) {
  rn_progress_begin("evaluation", e->model->manifest->step);
  const int64_t index = first + rn_grid_data(e->grid);
  const bool mine = index < out->sequences;
  RN_TRY(err, rn_agree(err, world, mine ? read_own_tokens(err, e, index, out) : RN_OK));
  if (!mine) return RN_OK;
  const rn_unit unit = {.sequences = 1,
                        .tokens = e->batch.tokens,
                        .input = e->batch.input,
                        .target = e->batch.target,
                        .doc_position = e->batch.doc_position,
                        .sequence_index = e->batch.sequence_index,
                        .position = e->batch.position};
  rn_scan_port *port = rn_scan_source_port(&e->scan, (rn_scan_unit){0});
  rn_loss_sum sum = {0};
  RN_TRY(err, rn_pipeline_loss_of_unit(err, &e->pipeline, &unit, e->options->form, port, &sum));
  out->loss += sum.plain;
  count_rows(e, out);
  return RN_OK;
}

/* Forms the groups of ranks from the keys; by default all ranks divide each sequence, unless
 * attention layers need whole sequences. */
static rn_status make_grid(rn_err *err, evaluator *e, rn_world *world, const Retnet__Parallel *p) {
  const rn_spec *spec = &e->model->spec;
  const bool whole = rn_spec_attention_layers(spec, 0, spec->layers) > 0;
  const int ranks = rn_world_size(world);
  const int data = p->data > 0       ? p->data
                   : p->sequence > 0 ? ranks / p->sequence
                   : whole           ? ranks
                                     : 1;
  const int sequence = p->sequence > 0 ? p->sequence : data > 0 ? ranks / data : 0;
  if (p->pipeline > 1 || data * sequence != ranks) {
    return rn_fail(err, RN_ERR_USAGE,
                   "evaluation needs parallel.data %d x parallel.sequence %d ranks and no "
                   "parallel.pipeline, but there are %d ranks",
                   p->data, p->sequence, ranks);
  }
  if (whole && sequence > 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.sequence %d: the model has attention layers, which need whole "
                   "sequences on a rank; set parallel.sequence to 1",
                   sequence);
  }
  return rn_grid_create(err, world, data, 1, sequence, &e->grid);
}

static rn_status open_evaluator(rn_err *err, evaluator *e, int length) {
  const rn_spec *spec = &e->model->spec;
  const int ranks = rn_grid_sequence_size(e->grid);
  const rn_scan_source_shape scan = {
      .wanted = e->options->parallel->scan, .layers = spec->layers, .sequences = 1, .segments = 1};
  RN_TRY(err, rn_scan_source_create(err, e->grid, spec, scan, &e->scan));
  const int tokens = (length + ranks - 1) / ranks;
  RN_TRY(err, rn_batch_create(err, 1, tokens, length, &e->batch));
  const rn_pipeline_shape shape = {.last_layer = spec->layers, .sequences = 1, .tokens = tokens};
  RN_TRY(err, rn_pipeline_create(err, spec, shape, NULL, &e->pipeline));
  (void)rn_stage_adopt_weights(e->pipeline.stage, (rn_weights_memory){.weights = e->model->params});
  return rn_stage_write_weights(err, e->pipeline.stage, e->model->params,
                                (rn_range){0, e->model->table->total});
}

static rn_status start_comm_thread(rn_err *err, evaluator *e, rn_world *world) {
  const bool scans = rn_grid_sequence_size(e->grid) > 1;
  const rn_comm_thread_use use = {e->options->parallel->comm_thread, rn_threads(), scans, scans};
  RN_TRY(err, rn_launch_comm_thread(err, world, use, &e->comm_thread));
  rn_scan_use_thread(e->scan.scan, e->comm_thread);
  e->pipeline.comm_thread = e->comm_thread;
  return RN_OK;
}

static void close_evaluator(evaluator *e) {
  rn_comm_thread_stop(&e->comm_thread);
  rn_pipeline_destroy(&e->pipeline);
  rn_batch_destroy(&e->batch);
  rn_scan_source_destroy(&e->scan);
  rn_grid_destroy(&e->grid);
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

static rn_status sum_over_ranks(rn_err *err, evaluator *e, rn_evaluation *out) {
  double sums[2] = {out->loss, e->text_targets};
  RN_TRY(err, rn_sum_doubles(err, e->grid, sums, 2));
  for (int i = 0; i < RN_EVALUATE_BUCKETS; i++) {
    double bucket[2] = {out->bucket_loss[i], out->bucket_tokens[i]};
    RN_TRY(err, rn_sum_doubles(err, e->grid, bucket, 2));
    out->bucket_loss[i] = bucket[1] > 0 ? bucket[0] / bucket[1] : 0;
    out->bucket_tokens[i] = bucket[1];
    if (bucket[1] > 0) out->buckets = i + 1;
  }
  out->loss = sums[0] / (double)out->tokens;
  const double bytes = bytes_of_targets(e->split, sums[1]);
  out->bits_per_byte = bytes > 0 ? sums[0] / log(2.0) / bytes : NAN;
  return RN_OK;
}

rn_status rn_evaluate(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                      rn_split *split, const rn_evaluation_options *options, rn_evaluation *out) {
  const int sequence_length = options->sequence_length;
  evaluator e = {.model = model, .split = split, .options = options};
  *out = (rn_evaluation){.sequence_length = sequence_length, .tokens = split->tokens - 1};
  if (split->tokens < 2) return rn_fail(err, RN_ERR_USAGE, "the split has no targets");
  if (rn_split_header(split)->vocabulary > (uint32_t)model->spec.vocab) {
    return rn_fail(err, RN_ERR_USAGE,
                   "the vocabulary of the data (%u) is larger than that of the model (%d)",
                   rn_split_header(split)->vocabulary, model->spec.vocab);
  }
  rn_status status = make_grid(err, &e, world, options->parallel);
  if (status == RN_OK) {
    /* The split may have fewer targets than sequence_length: do not allocate more than it needs. */
    const int64_t targets = split->tokens - 1;
    const int length = targets < sequence_length ? (int)targets : sequence_length;
    status = rn_agree(err, world, open_evaluator(err, &e, length));
  }
  if (status == RN_OK) status = start_comm_thread(err, &e, world);
  const int groups = status == RN_OK ? rn_world_size(world) / rn_grid_sequence_size(e.grid) : 1;
  out->sequences = (out->tokens + sequence_length - 1) / sequence_length;
  for (int64_t i = 0; status == RN_OK && i < out->sequences; i += groups) {
    status = evaluate_next(err, &e, world, i, out);
  }
  if (status == RN_OK) status = sum_over_ranks(err, &e, out);
  close_evaluator(&e);
  return status;
}
