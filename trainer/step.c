#include "trainer/step.h"

#include <math.h>

#include "comm/reduce.h"
#include "data/sampler.h"

/* Stored sequence `stored`, global number g, of `length` tokens: its piece in every band. */
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

static rn_status read_batch(rn_err *err, rn_run *run) {
  const Retnet__Data *data = run->config->data;
  const int64_t stored = rn_split_sequences(&run->train, data->sequence_length);
  start_batch(run, data->sequence_length);
  for (int64_t i = run->share.begin; i < run->share.end; i++) {
    const int64_t g = run->next_sequence + i;
    const int64_t at = rn_sampler_sequence((uint64_t)run->config->run->seed, stored, g);
    RN_TRY(err, read_sequence(err, run, &run->train, at, g));
  }
  rn_run_set_units(run, (int)rn_range_count(run->share), run->step + 1);
  return RN_OK;
}

/* Loss and gradient of the batch on this rank; a tied embedding's gradient from both its ends. */
static rn_status train_batch(rn_err *err, rn_run *run, double scale, double *loss_sum) {
  rn_sink sink = {run->gradient, run->total};
  rn_sink_start(&sink);
  RN_TRY(err,
         rn_pipeline_train(err, &run->pipeline, run->unit, &run->scan, scale, loss_sum, &sink));
  if (run->relay == NULL || !run->spec.tie_embeddings) return RN_OK;
  const int64_t count = (int64_t)run->spec.vocab * run->spec.dim;
  return rn_relay_sum_ends(err, run->relay, count,
                           run->gradient + rn_stage_params(run->pipeline.stage)->embedding);
}

/* Sum of squares of this rank's own gradients, tensor by tensor; a copy counts at its original. */
static double own_squares(const rn_run *run) {
  const rn_param_table *table = rn_stage_params(run->pipeline.stage);
  double sum = 0;
  for (int i = 0; i < table->count; i++) {
    const rn_range mine = rn_param_within(&table->param[i], run->own);
    if (table->param[i].copy) continue;
    sum += rn_sum_of_squares(rn_range_count(mine), run->own_gradient + mine.begin - run->own.begin);
  }
  return sum;
}

/* The update of this rank's weights, tensor by tensor for the sake of decay groups. */
static void update_own(rn_run *run, double lr, double clip) {
  const rn_param_table *table = rn_stage_params(run->pipeline.stage);
  const bool decay_all =
      run->config->optimizer->decay == RETNET__DECAYED_WEIGHTS__DECAYED_WEIGHTS_ALL;
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    const rn_range mine = rn_param_within(p, run->own);
    const int64_t at = mine.begin - run->own.begin;
    rn_adamw_update(&run->adamw, lr, run->updates + 1, clip, rn_range_count(mine),
                    run->own_gradient + at, run->params + mine.begin, run->exp_avg + at,
                    run->exp_avg_sq + at, decay_all || p->matrix);
  }
}

static rn_status finish_step(rn_err *err, rn_run *run, double targets, const rn_step_result *r) {
  run->step++;
  run->tokens += (int64_t)targets;
  run->next_sequence += run->config->data->batch_sequences;
  run->updates += !r->skipped;
  run->bad_steps = r->skipped ? run->bad_steps + 1 : 0;
  if (run->bad_steps == 0 || run->bad_steps < run->config->train->max_bad_steps) return RN_OK;
  return rn_fail(err, RN_ERR_NUMERICS,
                 "step %lld: loss or gradient norm were not finite %d times in a row "
                 "(train.max_bad_steps); go on from the last checkpoint in %s/checkpoints with a "
                 "smaller optimizer.lr",
                 (long long)run->step, run->bad_steps, run->config->run->dir);
}

rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out) {
  const Retnet__Data *data = run->config->data;
  const double targets = (double)data->batch_sequences * data->sequence_length;
  double loss_sum = 0;
  RN_TRY(err, rn_agree(err, run->world, read_batch(err, run)));
  RN_TRY(err, train_batch(err, run, 1 / targets, &loss_sum));
  RN_TRY(err, rn_reduce_scatter(err, run->grid, run->gradient, run->total, run->own_gradient));
  double sums[2] = {loss_sum, own_squares(run)};
  RN_TRY(err, rn_sum_doubles(err, run->grid, sums, 2));
  *out = (rn_step_result){.loss = sums[0] / targets,
                          .grad_norm = sqrt(sums[1]),
                          .lr = rn_lr(&run->schedule, run->step + 1)};
  out->skipped = !isfinite(out->loss) || !isfinite(out->grad_norm);
  if (!out->skipped) {
    update_own(run, out->lr, rn_clip_coefficient(out->grad_norm, run->config->optimizer->clip));
    RN_TRY(err, rn_all_gather(err, run->grid, run->params, run->total));
  }
  return finish_step(err, run, targets, out);
}

/* Loss of stored sequences first .. last-1, of `length` tokens each, into *sum. */
static rn_status validate_some(rn_err *err, rn_run *run, int64_t first, int64_t last,
                               int64_t length, double *sum) {
  const rn_form form =
      run->spec.retention_scale == RN_SCALE_TS_PARALLEL ? RN_FORM_PARALLEL : RN_FORM_CHUNKWISE;
  start_batch(run, length);
  for (int64_t i = first; i < last; i++) RN_TRY(err, read_sequence(err, run, &run->val, i, i));
  rn_run_set_units(run, (int)(last - first), 0);
  for (int k = 0; k < run->layout.segments; k++) {
    rn_scan_port *port = rn_scan_source_port(&run->scan, RN_SCAN_FORWARD, k);
    RN_TRY(err, rn_pipeline_loss_of_unit(err, &run->pipeline, &run->unit[k], form, port, sum));
  }
  return RN_OK;
}

rn_status rn_validate(rn_err *err, rn_run *run, int64_t sequences, double *loss) {
  const int64_t length = run->config->data->sequence_length;
  const int64_t stored = rn_split_sequences(&run->val, (int)length);
  const bool all = sequences == 0 || sequences > stored;
  const rn_range share =
      rn_cut(all ? stored : sequences, run->layout.data, rn_grid_data(run->grid));
  const int64_t tail = all ? run->val.tokens - 1 - stored * length : 0;
  double sum = 0;
  for (int64_t first = share.begin; first < share.end; first += run->layout.microbatch) {
    int64_t last = first + run->layout.microbatch;
    RN_TRY(err, validate_some(err, run, first, last < share.end ? last : share.end, length, &sum));
  }
  if (tail > 0 && rn_grid_data(run->grid) == run->layout.data - 1) {
    RN_TRY(err, validate_some(err, run, stored, stored + 1, tail, &sum));
  }
  RN_TRY(err, rn_sum_doubles(err, run->grid, &sum, 1));
  *loss = sum / (double)((all ? stored : sequences) * length + tail);
  return RN_OK;
}
