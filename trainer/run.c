#include "trainer/run.h"

#include <stdlib.h>

#include "comm/cores.h"
#include "model/threads.h"
#include "proto/arena.h"

static rn_status check_documents(rn_err *err, const rn_run *run) {
  const bool by_weights = run->spec.retention_scale == RN_SCALE_TS_PARALLEL ||
                          run->spec.retention_scale == RN_SCALE_TS_CHUNKWISE;
  if (!by_weights || !run->config->data->reset_at_documents) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "model.retention_scale ts_* cannot reset at documents: set "
                 "data.reset_at_documents to false");
}

static rn_status open_data(rn_err *err, rn_run *run) {
  const Retnet__Data *data = run->config->data;
  RN_TRY(err, rn_split_open(err, data->dir, "train", &run->train));
  run->has_train = true;
  if (rn_split_sequences(&run->train, data->sequence_length) < 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: %lld tokens are too few for data.sequence_length %d (one more is needed)",
                   data->dir, (long long)run->train.tokens, data->sequence_length);
  }
  if (rn_file_exists(rn_path_join(data->dir, "val").text)) {
    RN_TRY(err, rn_split_open(err, data->dir, "val", &run->val));
    run->has_val = true;
  }
  return RN_OK;
}

/* Everything that needs no other rank. */
static rn_status plan_run(rn_err *err, rn_run *run) {
  const Retnet__Config *c = run->config;
  const Retnet__Optimizer *o = c->optimizer;
  RN_TRY(err, open_data(err, run));
  RN_TRY(err,
         rn_spec_from_config(err, c, (int)rn_split_header(&run->train)->vocabulary, &run->spec));
  RN_TRY(err, check_documents(err, run));
  RN_TRY(err, rn_layout_resolve(err, c, run->spec.layers, rn_world_size(run->world), &run->layout));
  run->adamw = (rn_adamw){o->beta1, o->beta2, o->eps, o->weight_decay, (rn_eps_mode)o->eps_mode};
  run->schedule =
      (rn_schedule){.rule = (rn_lr_rule)o->schedule,
                    .peak = o->lr,
                    .min_lr = o->min_lr,
                    .warmup_steps = o->warmup_steps,
                    .decay_steps = o->decay_steps > 0 ? o->decay_steps : c->train->steps};
  return RN_OK;
}

static rn_status make_scan(rn_err *err, rn_run *run) {
  const int heads = run->layout.microbatch * run->spec.heads;
  const int64_t m = (int64_t)rn_spec_key_width(&run->spec) * rn_spec_value_width(&run->spec);
  if (run->layout.sequence == 1) {
    return rn_carry_create(err, &run->spec, run->spec.layers, run->layout.microbatch, &run->alone);
  }
  switch (run->config->parallel->scan) {
    case RETNET__SCAN__SCAN_DOUBLING:
      run->scan = RN_SCAN_DOUBLING;
      break;
    case RETNET__SCAN__SCAN_EXSCAN:
      run->scan = RN_SCAN_EXSCAN;
      break;
    case RETNET__SCAN__SCAN_CHAIN:
      run->scan = RN_SCAN_CHAIN;
      break;
    default:
      run->scan = rn_scan_choose(run->layout.sequence, heads * m * (int64_t)sizeof(float));
  }
  return rn_chain_create(err, run->grid, run->scan, heads, m, &run->chain);
}

static rn_status make_state(rn_err *err, rn_run *run) {
  const int length = run->config->data->sequence_length;
  const uint64_t seed = (uint64_t)run->config->run->seed;
  run->share =
      rn_cut(run->config->data->batch_sequences, run->layout.data, rn_grid_data(run->grid));
  run->piece = rn_cut(length, run->layout.sequence, rn_grid_sequence(run->grid));
  const int tokens = (int)rn_range_count(run->piece);
  const int sequences = (int)rn_range_count(run->share);
  RN_TRY(err, rn_batch_create(
                  err, sequences > run->layout.microbatch ? sequences : run->layout.microbatch,
                  tokens, length, &run->batch));
  RN_TRY(err, rn_pipeline_create(err, &run->spec, run->layout.microbatch, tokens, seed, true,
                                 &run->pipeline));
  const rn_param_table *table = rn_stage_params(run->pipeline.stage);
  run->total = table->total;
  run->own = rn_cut(run->total, rn_grid_replica_size(run->grid), rn_grid_replica(run->grid));
  const size_t own = (size_t)rn_range_count(run->own), total = (size_t)run->total;
  RN_TRY(err, rn_alloc(err, "weights", total, sizeof(float), &run->params));
  RN_TRY(err, rn_alloc(err, "gradients", total, sizeof(float), &run->gradient));
  RN_TRY(err, rn_alloc(err, "sums of gradients", own, sizeof(float), &run->own_gradient));
  RN_TRY(err, rn_alloc(err, "first moments", own, sizeof(float), &run->exp_avg));
  RN_TRY(err, rn_alloc(err, "second moments", own, sizeof(float), &run->exp_avg_sq));
  rn_param_init_values(table, seed, 0, run->total, run->params);
  run->pipeline.params = run->params;
  return RN_OK;
}

rn_status rn_run_create(rn_err *err, Retnet__Config *config, rn_world *world, rn_run *out) {
  rn_cores cores;
  *out = (rn_run){.config = config, .world = world};
  RN_TRY(err, rn_cores_look(err, world, &cores));
  out->threads = rn_cores_threads(cores, config->parallel->threads);
  rn_threads_start(out->threads);
  rn_status status;
  if ((status = rn_agree(err, world, plan_run(err, out))) != RN_OK ||
      (status = rn_world_check_same(err, world, "the training data", &out->train.content,
                                    sizeof out->train.content)) != RN_OK ||
      (status = rn_grid_create(err, world, out->layout.data, out->layout.pipeline,
                               out->layout.sequence, &out->grid)) != RN_OK ||
      (status = make_scan(err, out)) != RN_OK ||
      (status = rn_agree(err, world, make_state(err, out))) != RN_OK) {
    rn_run_destroy(out);
  }
  return status;
}

void rn_run_destroy(rn_run *run) {
  rn_pipeline_destroy(&run->pipeline);
  rn_batch_destroy(&run->batch);
  rn_split_close(&run->train);
  rn_split_close(&run->val);
  rn_chain_destroy(&run->chain);
  rn_carry_destroy(&run->alone);
  rn_grid_destroy(&run->grid);
  free(run->params);
  free(run->gradient);
  free(run->own_gradient);
  free(run->exp_avg);
  free(run->exp_avg_sq);
  *run = (rn_run){0};
}

rn_scan_port *rn_run_port(rn_run *run) {
  if (run->chain != NULL) return rn_chain_port(run->chain);
  rn_carry_reset(run->alone);
  return rn_carry_port(run->alone);
}

rn_unit rn_run_unit(const rn_run *run, int first, int last, int64_t step) {
  const rn_batch *b = &run->batch;
  const int64_t row = (int64_t)first * b->tokens;
  return (rn_unit){.sequences = last - first,
                   .tokens = b->tokens,
                   .input = b->input + row,
                   .target = b->target + row,
                   .since = b->since + row,
                   .sequence_number = b->sequence_number + first,
                   .position = b->position,
                   .step = step};
}
