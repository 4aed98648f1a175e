#include "trainer/run/validate.h"

#include "proto/base/progress.h"

/* The validation set being evaluated. */
typedef struct val_reader {
  rn_run *run;
  rn_split *split;
  rn_status read; /* the first read failure of this rank */
  rn_loss_sum sums;
} val_reader;

/*
 * Adds the losses of the sequences `stored`, of `length` tokens each. Sets v->read to the first
 * read failure; the return value reports only communication failures.
 */
static rn_status add_losses(rn_err *err, val_reader *v, rn_range stored, int64_t length) {
  rn_run *run = v->run;
  const bool parallel_form = run->settings.spec.retention_scale == RN_SCALE_TS_PARALLEL;
  const rn_form form = parallel_form ? RN_FORM_PARALLEL : RN_FORM_CHUNKWISE;
  rn_scan_source *scan = &run->parallel.scan;
  rn_progress_begin("evaluation", run->counters.step);
  const rn_status status = rn_data_stream_read_val(err, &run->data, v->split, stored, length);
  if (v->read == RN_OK) v->read = status;
  for (int k = 0; k < run->settings.plan.layout.segments; k++) {
    const rn_loss_pass how = {
        form, rn_scan_source_port(scan, (rn_scan_unit){.segment = k}),
        rn_row_source_port(&run->parallel.rows,
                           (rn_row_source_unit){.segment = k, .length = length})};
    RN_TRY(err,
           rn_pipeline_loss_of_unit(err, &run->model.pipeline, &run->data.unit[k], how, &v->sums));
  }
  return RN_OK;
}

/*
 * Returns the number of rounds (one micro-batch on every data rank) between two agreements on read
 * failures. It is more than one with a pipeline, because an agreement makes the stages wait for
 * each other.
 */
static int64_t rounds_between(const rn_layout *layout) {
  enum { PER_STAGE = 8 };
  return layout->pipeline > 1 ? PER_STAGE * layout->pipeline : 1;
}

/*
 * Adds the losses of the sequences of full length. All data ranks run the same number of rounds:
 * the number of micro-batches of the data rank with the most sequences.
 */
static rn_status add_whole(rn_err *err, val_reader *v, int64_t sequences) {
  const rn_run *run = v->run;
  const rn_layout *layout = &run->settings.plan.layout;
  const int64_t length = run->settings.config->data->sequence_length, size = layout->microbatch;
  const int64_t rounds = (rn_range_count(rn_cut(sequences, layout->data, 0)) + size - 1) / size;
  const rn_range own = rn_cut(sequences, layout->data, rn_grid_data(run->parallel.grid));
  for (int64_t r = 0; r < rounds; r++) {
    rn_range some = {own.begin + r * size, own.begin + (r + 1) * size};
    if (some.end > own.end) some.end = own.end;
    if (some.begin < some.end) RN_TRY(err, add_losses(err, v, some, length));
    if ((r + 1) % rounds_between(layout) != 0 && r + 1 < rounds) continue;
    RN_TRY(err, rn_agree(err, run->parallel.world, v->read));
  }
  return RN_OK;
}

/* Adds the losses of the shorter sequence at the end of the split, on the last data rank. */
static rn_status add_tail(rn_err *err, val_reader *v, int64_t stored, int64_t length) {
  const rn_run *run = v->run;
  if (rn_grid_data(run->parallel.grid) == run->settings.plan.layout.data - 1) {
    RN_TRY(err, add_losses(err, v, (rn_range){stored, stored + 1}, length));
  }
  return rn_agree(err, run->parallel.world, v->read);
}

/* Computes the sum of the losses over all ranks; in reproducible mode by integer addition. */
static rn_status sum_losses(rn_err *err, const rn_run *run, const rn_loss_sum *sums, double *sum) {
  if (!rn_local_model_is_exact(&run->model)) {
    *sum = sums->plain;
    return rn_sum_doubles(err, run->parallel.grid, sum, 1);
  }
  int64_t all[3] = {sums->exact.whole, sums->exact.fraction, sums->exact.others};
  RN_TRY(err, rn_world_sum(err, run->parallel.world, all, 3));
  *sum = rn_exact_sum_value(&(rn_exact_sum){all[0], all[1], all[2]});
  return RN_OK;
}

/* Computes the sum of the losses of one set, and the number of its targets. */
static rn_status evaluate_set(rn_err *err, rn_run *run, rn_split *split, int64_t sequences,
                              double *sum, double *targets) {
  val_reader v = {.run = run, .split = split};
  const int64_t length = run->settings.config->data->sequence_length;
  const int64_t stored = rn_split_sequences(split, (int)length);
  const bool all = sequences == 0 || sequences > stored;
  const int64_t tail = all ? split->tokens - 1 - stored * length : 0;
  RN_TRY(err, add_whole(err, &v, all ? stored : sequences));
  if (tail > 0) RN_TRY(err, add_tail(err, &v, stored, tail));
  *targets = (double)((all ? stored : sequences) * length + tail);
  return sum_losses(err, run, &v.sums, sum);
}

rn_status rn_validate(rn_err *err, rn_run *run, int64_t sequences, rn_validation *out) {
  rn_datasets *d = &run->datasets;
  rn_weights *weights = &run->model.weights;
  double sum = 0, targets = 0, all_sums = 0, all_targets = 0;
  const bool named = d->val_sets > 0 && d->val[0].name[0] != '\0';
  *out = (rn_validation){.set = d->val, .sets = named ? d->val_sets : 0};
  rn_progress_begin("evaluation", run->counters.step);
  RN_TRY(err, rn_weights_finish_fetch(err, weights)); /* collective, so needed on every rank */
  RN_TRY(err, rn_weights_cast(err, weights));
  for (int i = 0; i < d->val_sets; i++) {
    RN_TRY(err, evaluate_set(err, run, &d->val[i].split, sequences, &sum, &targets));
    out->set_loss[i] = sum / targets;
    all_sums += sum;
    all_targets += targets;
  }
  out->loss = all_sums / all_targets;
  return RN_OK;
}
