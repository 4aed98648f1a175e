#include "trainer/step.h"

#include <math.h>

#include "comm/reduce.h"
#include "data/sampler.h"

static rn_status read_batch(rn_err *err, rn_run *run) {
  const Retnet__Data *data = run->config->data;
  const int64_t stored = rn_split_sequences(&run->train, data->sequence_length);
  rn_batch_start(&run->batch, run->piece.begin, run->piece.end);
  for (int64_t i = run->share.begin; i < run->share.end; i++) {
    const int64_t g = run->next_sequence + i;
    const int64_t at = rn_sampler_sequence((uint64_t)run->config->run->seed, stored, g);
    RN_TRY(err, rn_batch_add(err, &run->batch, &run->train, at, data->sequence_length, g,
                             data->reset_at_documents));
  }
  return RN_OK;
}

static rn_status train_units(rn_err *err, rn_run *run, double scale, double *loss_sum) {
  rn_sink sink = {run->gradient, run->total};
  rn_sink_start(&sink);
  const int size = run->layout.microbatch;
  for (int first = 0; first < run->batch.sequences; first += size) {
    const int last = first + size < run->batch.sequences ? first + size : run->batch.sequences;
    const rn_unit unit = rn_run_unit(run, first, last, run->step + 1);
    RN_TRY(err, rn_pipeline_train_unit(err, &run->pipeline, &unit, rn_run_port(run), scale,
                                       loss_sum, &sink));
  }
  return RN_OK;
}

/* The update of this rank's weights, tensor by tensor for the sake of decay groups. */
static void update_own(rn_run *run, double lr, double clip) {
  const rn_param_table *table = rn_stage_params(run->pipeline.stage);
  const bool decay_all =
      run->config->optimizer->decay == RETNET__DECAYED_WEIGHTS__DECAYED_WEIGHTS_ALL;
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    int64_t begin = p->offset, end = p->offset + p->rows * p->cols;
    if (begin < run->own.begin) begin = run->own.begin;
    if (end > run->own.end) end = run->own.end;
    if (begin >= end) continue;
    const int64_t at = begin - run->own.begin;
    rn_adamw_update(&run->adamw, lr, run->updates + 1, clip, end - begin, run->own_gradient + at,
                    run->params + begin, run->exp_avg + at, run->exp_avg_sq + at,
                    decay_all || p->matrix);
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
  RN_TRY(err, train_units(err, run, 1 / targets, &loss_sum));
  RN_TRY(err, rn_reduce_scatter(err, run->grid, run->gradient, run->total, run->own_gradient));
  double sums[2] = {loss_sum, rn_sum_of_squares(rn_range_count(run->own), run->own_gradient)};
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
  const Retnet__Data *data = run->config->data;
  const rn_range piece = rn_cut(length, run->layout.sequence, rn_grid_sequence(run->grid));
  rn_batch_start(&run->batch, piece.begin, piece.end);
  for (int64_t i = first; i < last; i++) {
    RN_TRY(err, rn_batch_add(err, &run->batch, &run->val, i, data->sequence_length, i,
                             data->reset_at_documents));
  }
  const rn_unit unit = rn_run_unit(run, 0, run->batch.sequences, 0);
  const rn_form form =
      run->spec.retention_scale == RN_SCALE_TS_PARALLEL ? RN_FORM_PARALLEL : RN_FORM_CHUNKWISE;
  return rn_pipeline_loss_of_unit(err, &run->pipeline, &unit, form, rn_run_port(run), sum);
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
