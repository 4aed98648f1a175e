#include "trainer/run/optimizer.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/span.h"

/* ---- creating ---- */

static rn_lr_schedule schedule_of(const Retnet__Config *c) {
  const Retnet__Optimizer *o = c->optimizer;
  return (rn_lr_schedule){.rule = (rn_lr_rule)o->schedule,
                          .peak = o->lr,
                          .min_lr = o->min_lr,
                          .warmup_steps = o->warmup_steps,
                          .decay_steps = o->decay_steps > 0 ? o->decay_steps : c->train->steps};
}

/*
 * Allocates the arrays of gradient sums. With a single replica, the stage's gradient needs no sum
 * over ranks, so `exact` is not needed, and `gradient` is needed only in reproducible mode, for the
 * exact sums converted to float.
 */
static rn_status create_sums(rn_err *err, rn_optimizer *o) {
  const size_t own = (size_t)o->shards->count;
  if (o->is_exact && !o->single_replica) {
    RN_TRY(err, rn_alloc(err, "exact sums", own, sizeof(int64_t), &o->exact));
  }
  if (!o->is_exact && o->single_replica) return RN_OK;
  return rn_alloc(err, "gradient shard", own, sizeof(float), &o->gradient);
}

static rn_status create_own(rn_err *err, const rn_spec *spec, rn_optimizer *o) {
  const size_t own = (size_t)o->shards->count;
  const rn_param_table *table = rn_stage_params(o->stage);
  RN_TRY(err, rn_norm_blocks_create(err, spec, table, &o->blocks));
  RN_TRY(err, rn_alloc(err, "squared norms by block", (size_t)o->blocks.total, sizeof(double),
                       &o->block_squares));
  RN_TRY(err, create_sums(err, o));
  RN_TRY(err, rn_alloc(err, "first moments", own, sizeof(float), &o->exp_avg));
  return rn_alloc(err, "second moments", own, sizeof(float), &o->exp_avg_sq);
}

/*
 * Returns the layer group with the tied embedding, or -1 if there is none. The gradient of this
 * group is reduced later than the others, since the first and the last stage both contribute to it.
 */
static int tied_layer_group(const rn_spec *spec, const rn_pipeline *pipeline) {
  if (pipeline->p2p == NULL || !spec->tie_embeddings) return -1;
  if (rn_pipeline_p2p_is_first(pipeline->p2p)) return 0;
  return rn_pipeline_p2p_is_last(pipeline->p2p) ? pipeline->head : -1;
}

/* Finds the tied embedding, which only the first and the last stage have. */
static void find_tied(const rn_spec *spec, const rn_pipeline *pipeline, rn_optimizer *o) {
  if (tied_layer_group(spec, pipeline) < 0) return;
  o->tied_offset = rn_stage_params(pipeline->stage)->embedding;
  o->tied_count = (int64_t)spec->vocab * spec->dim;
}

static rn_status connect(rn_err *err, const rn_parallel_context *parallel, rn_local_model *model,
                         rn_optimizer *o) {
  rn_reduce_operands operands = {RN_REDUCE_FLOAT, o->gradient, model->gradient.peers};
  if (o->is_exact) operands = (rn_reduce_operands){RN_REDUCE_EXACT, o->exact, operands.peers};
  RN_TRY(err, rn_reduce_scatter_create(err, parallel->grid, &o->shards->shards, operands,
                                       &o->distributed.reduce_scatter));
  rn_pipeline_attach(&model->pipeline, &o->distributed);
  return RN_OK;
}

rn_status rn_optimizer_create(rn_err *err, const rn_run_settings *settings,
                              const rn_parallel_context *parallel, rn_local_model *model,
                              rn_optimizer *out) {
  const Retnet__Optimizer *c = settings->config->optimizer;
  const bool is_exact = rn_local_model_is_exact(model);
  *out = (rn_optimizer){
      .adamw = {c->beta1, c->beta2, c->eps, c->weight_decay, (rn_eps_mode)c->eps_mode},
      .schedule = schedule_of(settings->config),
      .clip = c->clip,
      .decay_all = c->decay == RETNET__DECAYED_WEIGHTS__DECAYED_WEIGHTS_ALL,
      .stage = model->pipeline.stage,
      .is_exact = is_exact,
      .single_replica = rn_grid_replica_size(parallel->grid) == 1,
      .shards = &model->weights.shards,
      .distributed = {.stage = model->pipeline.stage,
                      .gradient = is_exact ? RN_STAGE_EXACT_GRADIENT : RN_STAGE_GRADIENT,
                      .shard_table = &model->weights.shards,
                      .weights = &model->weights.gather,
                      .held = tied_layer_group(&settings->spec, &model->pipeline)}};
  find_tied(&settings->spec, &model->pipeline, out);
  RN_TRY(err, rn_agree(err, parallel->world, create_own(err, &settings->spec, out)));
  return connect(err, parallel, model, out);
}

static rn_stage_region gradient_of(const rn_optimizer *o, rn_range range) {
  return (rn_stage_region){.array = o->distributed.gradient, .range = range};
}

/* Unmaps the stage's gradient, which is mapped only if there is a single replica and the mode is
 * not reproducible. */
static rn_status unmap_gradient(rn_err *err, rn_optimizer *o) {
  if (o->is_exact || !o->single_replica || o->gradient == NULL) return RN_OK;
  o->gradient = NULL;
  return rn_stage_unmap(err, o->stage, gradient_of(o, (rn_range){0, o->shards->count}),
                        RN_ACCESS_READ);
}

void rn_optimizer_destroy(rn_optimizer *o) {
  rn_reduce_scatter_destroy(&o->distributed.reduce_scatter);
  rn_norm_blocks_destroy(&o->blocks);
  free(o->block_squares);
  rn_err ignored; /* an error does not matter, because the stage is destroyed next */
  if (unmap_gradient(&ignored, o) == RN_OK) free(o->gradient);
  free(o->exact);
  free(o->exp_avg);
  free(o->exp_avg_sq);
  *o = (rn_optimizer){.shards = NULL};
}

/* ---- a step ---- */

/* Adds up the gradients that the first and the last stage computed for a tied embedding. */
static rn_status sum_tied(rn_err *err, const rn_optimizer *o, rn_pipeline_p2p *p2p) {
  if (o->tied_count == 0) return RN_OK;
  const rn_stage_region tied =
      gradient_of(o, (rn_range){o->tied_offset, o->tied_offset + o->tied_count});
  void *values;
  RN_TRY(err, rn_stage_map(err, o->stage, tied, RN_ACCESS_READ_WRITE, &values));
  if (o->is_exact) {
    RN_TRY(err, rn_tied_embedding_reduce_exact(err, p2p, o->tied_count, values));
  } else {
    RN_TRY(err, rn_tied_embedding_reduce(err, p2p, o->tied_count, values));
  }
  return rn_stage_unmap(err, o->stage, tied, RN_ACCESS_READ_WRITE);
}

static void convert(const rn_optimizer *o, const int64_t *exact) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < o->shards->count; i++) {
    o->gradient[i] = rn_grad_accumulator_value(exact[i]);
  }
}

/*
 * With a single replica, uses the stage's gradient: maps it until the next step or, in reproducible
 * mode, converts the exact sums to the gradient.
 */
static rn_status use_stage_gradient(rn_err *err, rn_optimizer *o) {
  const rn_stage_region all = gradient_of(o, (rn_range){0, o->shards->count});
  void *values;
  RN_TRY(err, rn_stage_map(err, o->stage, all, RN_ACCESS_READ, &values));
  if (!o->is_exact) {
    o->gradient = values;
    return RN_OK;
  }
  convert(o, values);
  return rn_stage_unmap(err, o->stage, all, RN_ACCESS_READ);
}

rn_status rn_optimizer_release_gradient(rn_err *err, rn_optimizer *o) {
  rn_reduce_scatter_release(o->distributed.reduce_scatter);
  return unmap_gradient(err, o);
}

rn_status rn_optimizer_sum_gradients(rn_err *err, rn_optimizer *o, rn_pipeline_p2p *p2p) {
  RN_TRY(err, sum_tied(err, o, p2p));
  if (o->distributed.held >= 0) {
    RN_TRY(err, rn_distributed_optimizer_add(err, &o->distributed, o->distributed.held));
  }
  RN_TRY(err, rn_distributed_optimizer_finish(err, &o->distributed));
  if (o->single_replica) return use_stage_gradient(err, o);
  if (o->is_exact) convert(o, o->exact);
  return RN_OK;
}

rn_status rn_optimizer_repeat_exchange(rn_err *err, rn_optimizer *o) {
  for (int group = 0; group < o->shards->groups; group++) {
    RN_TRY(err, rn_distributed_optimizer_add(err, &o->distributed, group));
  }
  return rn_distributed_optimizer_finish(err, &o->distributed);
}

void rn_optimizer_square_blocks(rn_optimizer *o) {
  memset(o->block_squares, 0, (size_t)o->blocks.total * sizeof(double));
  rn_norm_blocks_squares(&o->blocks, o->shards, o->gradient, o->block_squares);
}

double rn_optimizer_lr(const rn_optimizer *o, int64_t step) {
  return rn_lr(&o->schedule, step);
}

/* Updates block by block, because weight decay depends on the tensor. */
void rn_optimizer_update(rn_optimizer *o, double lr, double grad_norm, int64_t update,
                         float *params) {
  const double clip = rn_clip_coefficient(grad_norm, o->clip);
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < o->shards->blocks; i++) {
    const double begin_s = rn_span_task_begin();
    const rn_shard_block b = rn_shard_table_block(o->shards, i);
    const rn_adamw_step step = {
        .lr = lr, .update = update, .clip = clip, .decay = o->decay_all || b.slice->param->matrix};
    const rn_adamw_state state = {params + b.range.begin, o->exp_avg + b.offset,
                                  o->exp_avg_sq + b.offset};
    rn_adamw_update_block(&o->adamw, step, rn_range_count(b.range), o->gradient + b.offset, state);
    rn_span_task_end(begin_s);
  }
}

int64_t rn_optimizer_bytes_sent(const rn_optimizer *o) {
  return rn_reduce_scatter_bytes_sent(o->distributed.reduce_scatter);
}
