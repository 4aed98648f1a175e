#include "trainer/run/step.h"

#include <math.h>
#include <string.h>

#include "data/batch/sampler.h"
#include "model/base/threads.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* Reads this rank's tokens of stored sequence `stored`, global number g, into all segments. */
static rn_status read_sequence(rn_err *err, rn_run *run, rn_split *split, int64_t stored,
                               int64_t g) {
  const Retnet__Data *data = run->config->data;
  for (int k = 0; k < run->layout.segments; k++) {
    RN_TRY(err, rn_batch_add(err, &run->band[k], split, stored, data->sequence_length, g,
                             data->reset_at_documents));
  }
  return RN_OK;
}

static void start_batch(rn_run *run, int64_t length) {
  for (int k = 0; k < run->layout.segments; k++) {
    const rn_range piece = rn_run_piece(run, length, k);
    rn_batch_start(&run->band[k], piece.begin, piece.end);
  }
}

/* Reads the next sequence of stream i of the batch. */
static rn_status read_stream(rn_err *err, rn_run *run, int64_t i) {
  const Retnet__Data *data = run->config->data;
  int32_t *doc_position = &run->streams.doc_position[i - run->share.begin], after = 0;
  const int64_t stored = i * run->streams.sequences + run->streams.next;
  for (int k = 0; k < run->layout.segments; k++) {
    after = *doc_position;
    RN_TRY(err, rn_batch_continue(err, &run->band[k], &run->train, stored, data->sequence_length,
                                  run->next_sequence + i, data->reset_at_documents, &after));
  }
  *doc_position = after;
  return RN_OK;
}

static void make_up_sequence(rn_run *run, int64_t g) {
  for (int k = 0; k < run->layout.segments; k++) {
    rn_batch_fill_synthetic(&run->band[k], run->spec.vocab, g);
  }
}

static rn_status read_batch(rn_err *err, rn_run *run) {
  const Retnet__Data *data = run->config->data;
  const int64_t stored = rn_split_sequences(&run->train, data->sequence_length);
  start_batch(run, data->sequence_length);
  for (int64_t i = run->share.begin; i < run->share.end; i++) {
    if (!run->has_train) {
      make_up_sequence(run, run->next_sequence + i);
      continue;
    }
    if (data->carry_state) {
      RN_TRY(err, read_stream(err, run, i));
      continue;
    }
    const int64_t g = run->next_sequence + i;
    const int64_t at = rn_sampler_sequence((uint64_t)run->config->run->seed, stored, g);
    RN_TRY(err, read_sequence(err, run, &run->train, at, g));
  }
  const int64_t position = run->streams.next * data->sequence_length;
  rn_run_set_units(run, (int)rn_range_count(run->share), run->step + 1, position);
  return RN_OK;
}

/* Adds up the gradient of a tied embedding from the first and the last stage. */
static rn_status sum_tied(rn_err *err, rn_run *run) {
  if (run->p2p == NULL || !run->spec.tie_embeddings) return RN_OK;
  const int64_t at = rn_layer_stack_table(run->pipeline.stage)->embedding;
  const int64_t count = (int64_t)run->spec.vocab * run->spec.dim;
  if (run->accumulator.exact == NULL) {
    return rn_tied_embedding_reduce(err, run->p2p, count, run->accumulator.gradient + at);
  }
  return rn_tied_embedding_reduce_exact(err, run->p2p, count, run->accumulator.exact + at);
}

/*
 * own_gradient = gradient of the batch for this rank's weights, summed over all ranks. Completes
 * the reduce-scatter that started during the last unit's backward.
 */
static rn_status sum_gradients(rn_err *err, rn_run *run) {
  RN_TRY(err, sum_tied(err, run));
  if (run->optimizer.held >= 0)
    RN_TRY(err, rn_distributed_optimizer_add(err, &run->optimizer, run->optimizer.held));
  RN_TRY(err, rn_distributed_optimizer_finish(err, &run->optimizer));
  if (run->accumulator.exact == NULL) return RN_OK;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < run->shard_table.count; i++) {
    run->own_gradient[i] = rn_grad_accumulator_value(run->own_exact[i]);
  }
  return RN_OK;
}

static double sum_of(int64_t count, const double *values) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += values[i];
  return sum;
}

/* Sums over all ranks: loss, and squares of the gradient. */
static rn_status sum_plainly(rn_err *err, rn_run *run, double loss, double *sums) {
  sums[0] = loss;
  sums[1] = sum_of(run->blocks.total, run->block_squares);
  return rn_sum_doubles(err, run->grid, sums, 2);
}

/* The same in reproducible mode: adds losses and squares in block order. The element after the last
 * loss flags that a gradient sum overflowed. */
static rn_status sum_in_order(rn_err *err, rn_run *run, double *sums) {
  const int64_t reduction_blocks = run->accumulator.reduction_blocks;
  run->block_losses.loss[reduction_blocks] = run->accumulator.overflowed ? 1 : 0;
  RN_TRY(err, rn_gather_ordered(err, run->grid, run->block_losses.loss, reduction_blocks + 1));
  RN_TRY(err, rn_gather_ordered(err, run->grid, run->block_squares, run->blocks.total));
  sums[0] = sum_of(reduction_blocks, run->block_losses.loss);
  sums[1] = run->block_losses.loss[reduction_blocks] != 0
                ? INFINITY
                : sum_of(run->blocks.total, run->block_squares);
  return RN_OK;
}

/* Computes own_gradient and, on every rank, the sums of loss and of squares of the gradient. */
static rn_status train_batch(rn_err *err, rn_run *run, double scale, double *sums) {
  double loss = 0;
  const bool exact = run->accumulator.exact != NULL;
  rn_grad_accumulator_start(&run->accumulator);
  rn_span_phase("round weights");
  RN_TRY(err, rn_run_cast_weights(err, run));
  if (exact)
    memset(run->block_losses.loss, 0, (size_t)run->accumulator.reduction_blocks * sizeof(double));
  run->block_losses.first_sequence = run->next_sequence;
  run->block_losses.first_position = run->streams.next * run->config->data->sequence_length;
  run->scan.streams = run->config->data->carry_state ? &run->streams : NULL;
  rn_span_phase("pipeline");
  RN_TRY(err, rn_pipeline_train(err, &run->pipeline, run->unit, &run->scan, scale,
                                &run->block_losses, &loss, &run->accumulator));
  rn_span_phase("sum of gradients");
  rn_progress_phase("sum gradients");
  RN_TRY(err, sum_gradients(err, run));
  rn_span_phase("gradient norm");
  memset(run->block_squares, 0, (size_t)run->blocks.total * sizeof(double));
  rn_reduction_blocks_squares(&run->blocks, &run->shard_table, run->own_gradient,
                              run->block_squares);
  rn_span_phase("wait for sums of all");
  return exact ? sum_in_order(err, run, sums) : sum_plainly(err, run, loss, sums);
}

/* Updates this rank's weights, tensor by tensor, since weight decay depends on the tensor. */
static void update_own(rn_run *run, double lr, double clip) {
  const bool decay_all =
      run->config->optimizer->decay == RETNET__DECAYED_WEIGHTS__DECAYED_WEIGHTS_ALL;
  rn_adamw_step step = {.lr = lr, .update = run->updates + 1, .clip = clip};
  for (int i = 0; i < run->shard_table.slices; i++) {
    const rn_shard_slice *p = &run->shard_table.slice[i];
    const rn_adamw_state state = {run->params + p->range.begin, run->exp_avg + p->offset,
                                  run->exp_avg_sq + p->offset};
    step.decay = decay_all || p->param->matrix;
    rn_adamw_update(&run->adamw, step, rn_range_count(p->range), run->own_gradient + p->offset,
                    state);
  }
}

/* After a skipped step the states may contain anything, so streams continue from zero. */
static rn_status advance_streams(rn_err *err, rn_run *run, bool skipped) {
  if (!run->config->data->carry_state) return RN_OK;
  if (skipped && run->bad_steps == 1) {
    rn_log_warn("step %lld is skipped: carried states go on from zero", (long long)run->step);
  }
  return rn_tbptt_streams_advance(err, &run->streams, run->grid, skipped);
}

static rn_status finish_step(rn_err *err, rn_run *run, double targets, const rn_step_result *r) {
  run->step++;
  run->tokens += (int64_t)targets;
  run->next_sequence += run->config->data->batch_sequences;
  run->updates += !r->skipped;
  run->bad_steps = r->skipped ? run->bad_steps + 1 : 0;
  RN_TRY(err, advance_streams(err, run, r->skipped));
  if (run->bad_steps == 0 || run->bad_steps < run->config->train->max_bad_steps) return RN_OK;
  return rn_fail(err, RN_ERR_NUMERICS,
                 "step %lld: loss or gradient norm were not finite %d times in a row "
                 "(train.max_bad_steps)",
                 (long long)run->step, run->bad_steps);
}

/* Mean over all ranks of the time waited for states, minus `since_s`, this rank's earlier total. */
static rn_status mean_wait(rn_err *err, const rn_run *run, double since_s, double *mean_s) {
  *mean_s = 0;
  if (run->layout.sequence == 1) return RN_OK;
  double sum_s = rn_scan_wait_s(run->scan.scan) - since_s;
  RN_TRY(err, rn_sum_doubles(err, run->grid, &sum_s, 1));
  *mean_s = sum_s / rn_world_size(run->world);
  return RN_OK;
}

rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out) {
  const Retnet__Data *data = run->config->data;
  const double targets = (double)data->batch_sequences * data->sequence_length;
  const double waited_s = rn_scan_wait_s(run->scan.scan);
  const int64_t sent_bytes = rn_scan_bytes_sent(run->scan.scan);
  double sums[2];
  rn_threads_keep_bound();
  rn_span_begin("step");
  rn_span_phase("data");
  rn_progress_begin("read data", run->step + 1);
  RN_TRY(err, rn_agree(err, run->world, read_batch(err, run)));
  rn_span_phase("zero gradients");
  RN_TRY(err, train_batch(err, run, 1 / targets, sums));
  run->scan_bytes += rn_scan_bytes_sent(run->scan.scan) - sent_bytes;
  if (rn_fault_now("step.loss")) sums[0] = NAN;
  *out = (rn_step_result){.loss = sums[0] / targets,
                          .grad_norm = sqrt(sums[1]),
                          .lr = rn_lr(&run->schedule, run->step + 1)};
  RN_TRY(err, mean_wait(err, run, waited_s, &out->scan_wait_s));
  out->skipped = !isfinite(out->loss) || !isfinite(out->grad_norm);
  if (!out->skipped) {
    rn_span_phase("update");
    rn_progress_phase("update");
    update_own(run, out->lr, rn_clip_coefficient(out->grad_norm, run->config->optimizer->clip));
    rn_span_phase("gather of weights");
    run->weights.rounded = false;
    RN_TRY(err, rn_all_gather_start(err, run->weights.all_gather));
  }
  rn_span_end();
  return finish_step(err, run, targets, out);
}

/*
 * Reads sequence i of the val split into all segments. A piece that cannot be read is filled with
 * synthetic tokens so that communication can continue. Returns the first failure, for the agreement
 * that follows.
 */
static rn_status read_or_fill(rn_err *err, rn_run *run, int64_t i) {
  const Retnet__Data *data = run->config->data;
  rn_status worst = RN_OK;
  for (int k = 0; k < run->layout.segments; k++) {
    rn_status status = rn_batch_add(err, &run->band[k], &run->val, i, data->sequence_length, i,
                                    data->reset_at_documents);
    if (status == RN_OK) continue;
    rn_batch_fill_synthetic(&run->band[k], run->spec.vocab, i);
    if (worst == RN_OK) worst = status;
  }
  return worst;
}

/* Sum of this rank's losses; `exact` in reproducible mode, where reduction blocks are added. */
typedef struct loss_sums {
  double plain;
  rn_exact_sum exact;
} loss_sums;

/*
 * Adds the losses of the sequences `stored`, of `length` tokens each, to *sums. *read keeps the
 * first failure to read; the return value reports communication failures only.
 */
static rn_status validate_some(rn_err *err, rn_run *run, rn_range stored, int64_t length,
                               rn_status *read, loss_sums *sums) {
  const rn_form form =
      run->spec.retention_scale == RN_SCALE_TS_PARALLEL ? RN_FORM_PARALLEL : RN_FORM_CHUNKWISE;
  rn_progress_begin("evaluation", run->step);
  start_batch(run, length);
  for (int64_t i = stored.begin; i < stored.end; i++) {
    const rn_status status = read_or_fill(err, run, i);
    if (*read == RN_OK) *read = status;
  }
  rn_run_set_units(run, (int)rn_range_count(stored), 0, 0);
  run->scan.streams = NULL;
  for (int k = 0; k < run->layout.segments; k++) {
    rn_scan_port *port = rn_scan_source_port(&run->scan, 0, k);
    RN_TRY(err, rn_pipeline_loss_of_unit(err, &run->pipeline, &run->unit[k], form, port,
                                         &sums->plain, &sums->exact));
  }
  return RN_OK;
}

/* Rounds between two agreements. With a pipeline there are several, since an agreement makes the
 * stages wait for each other. */
static int64_t rounds_between(const rn_run *run) {
  enum { PER_STAGE = 8 };
  return run->layout.pipeline > 1 ? PER_STAGE * run->layout.pipeline : 1;
}

/* All data ranks run the same number of rounds: the micro-batches of the largest share. */
static rn_status validate_share(rn_err *err, rn_run *run, int64_t sequences, loss_sums *sums) {
  const int64_t length = run->config->data->sequence_length, size = run->layout.microbatch;
  const int64_t rounds = (rn_range_count(rn_cut(sequences, run->layout.data, 0)) + size - 1) / size;
  const rn_range share = rn_cut(sequences, run->layout.data, rn_grid_data(run->grid));
  rn_status read = RN_OK;
  for (int64_t r = 0; r < rounds; r++) {
    rn_range some = {share.begin + r * size, share.begin + (r + 1) * size};
    if (some.end > share.end) some.end = share.end;
    if (some.begin < some.end) RN_TRY(err, validate_some(err, run, some, length, &read, sums));
    if ((r + 1) % rounds_between(run) != 0 && r + 1 < rounds) continue;
    RN_TRY(err, rn_agree(err, run->world, read));
  }
  return RN_OK;
}

/* The last data rank processes the shorter sequence at the end of the split. */
static rn_status validate_tail(rn_err *err, rn_run *run, int64_t stored, int64_t tail,
                               loss_sums *sums) {
  rn_status read = RN_OK;
  if (rn_grid_data(run->grid) == run->layout.data - 1) {
    RN_TRY(err, validate_some(err, run, (rn_range){stored, stored + 1}, tail, &read, sums));
  }
  return rn_agree(err, run->world, read);
}

/* The sum over all ranks; in reproducible mode by integer addition. */
static rn_status sum_losses(rn_err *err, const rn_run *run, const loss_sums *sums, double *sum) {
  if (run->layout.reduction_block == 0) {
    *sum = sums->plain;
    return rn_sum_doubles(err, run->grid, sum, 1);
  }
  int64_t all[3] = {sums->exact.whole, sums->exact.fraction, sums->exact.others};
  RN_TRY(err, rn_world_sum(err, run->world, all, 3));
  *sum = rn_exact_sum_value(&(rn_exact_sum){all[0], all[1], all[2]});
  return RN_OK;
}

rn_status rn_validate(rn_err *err, rn_run *run, int64_t sequences, double *loss) {
  const int64_t length = run->config->data->sequence_length;
  const int64_t stored = rn_split_sequences(&run->val, (int)length);
  const bool all = sequences == 0 || sequences > stored;
  const int64_t tail = all ? run->val.tokens - 1 - stored * length : 0;
  loss_sums sums = {0};
  double sum = 0;
  rn_progress_begin("evaluation", run->step);
  RN_TRY(err, rn_all_gather_finish(err, run->weights.all_gather)); /* a rank may have no sequence */
  RN_TRY(err, rn_run_cast_weights(err, run));
  RN_TRY(err, validate_share(err, run, all ? stored : sequences, &sums));
  if (tail > 0) RN_TRY(err, validate_tail(err, run, stored, tail, &sums));
  RN_TRY(err, sum_losses(err, run, &sums, &sum));
  *loss = sum / (double)((all ? stored : sequences) * length + tail);
  return RN_OK;
}
