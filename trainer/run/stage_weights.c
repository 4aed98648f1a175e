#include "trainer/run/stage_weights.h"

#include <stdio.h>

#include "proto/base/log.h"
#include "proto/base/progress.h"

/* ---- choosing the ranks that share ---- */

/*
 * Reads the maximum number of ranks that may share a copy of the weights; 0: all ranks of the stage
 * on a node.
 */
static rn_status read_limit(rn_err *err, const Retnet__Parallel *config, const rn_world *world,
                            int *max) {
  RN_TRY(err, rn_node_read_limit(err, world, max));
  if (config->share_weights == RETNET__SWITCH__SWITCH_OFF) *max = 1;
  return RN_OK;
}

static rn_status find_nodes(rn_err *err, const rn_parallel_context *parallel, int max,
                            rn_weights *w) {
  RN_TRY(err, rn_node_create(err, parallel->world, parallel->grid, max, &w->node));
  int64_t fullest = rn_node_largest(w->node);
  RN_TRY(err, rn_world_max(err, parallel->world, &fullest, 1));
  w->sharing_ranks = (int)fullest;
  return RN_OK;
}

/*
 * Chooses the ranks that share a copy of the weights, from the key and the free shared memory of
 * the nodes.
 */
static rn_status choose_nodes(rn_err *err, const Retnet__Parallel *config,
                              const rn_parallel_context *parallel, size_t bytes, rn_weights *w) {
  const bool must = config->share_weights == RETNET__SWITCH__SWITCH_ON;
  char cause[RN_ERR_TEXT_BYTES];
  int max;
  RN_TRY(err, read_limit(err, config, parallel->world, &max));
  RN_TRY(err, find_nodes(err, parallel, max, w));
  if (must && w->sharing_ranks == 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.share_weights is on, but no node has two ranks of one stage: set it "
                   "to auto");
  }
  const rn_status space = rn_shared_array_check_space(err, parallel->world, w->node, bytes);
  if (space != RN_ERR_MEMORY) return space;
  snprintf(cause, sizeof cause, "%s", err->text);
  rn_err_clear(err);
  if (must) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.share_weights is on, but shared memory is too small: %.500s; enlarge "
                   "it, or set the key to off",
                   cause);
  }
  rn_log_warn("weights are not shared by the ranks of a node: %s", cause);
  rn_node_destroy(&w->node);
  return find_nodes(err, parallel, 1, w);
}

/* ---- creating ---- */

static rn_status create_shards(rn_err *err, const rn_parallel_context *parallel, rn_weights *w) {
  return rn_shard_table_create(
      err, rn_stage_params(w->stage), (int)rn_range_count(parallel->layers),
      rn_grid_replica_size(parallel->grid), rn_grid_replica(parallel->grid), &w->shards);
}

static rn_weights_memory memory_of(const rn_weights *w) {
  return (rn_weights_memory){
      .weights = w->params,
      .derived = w->derived == NULL ? NULL : rn_shared_array_memory(w->derived)};
}

rn_status rn_weights_create(rn_err *err, const Retnet__Parallel *config,
                            const rn_parallel_context *parallel, rn_stage *stage, rn_weights *out) {
  rn_world *world = parallel->world;
  const size_t derived_bytes = rn_stage_derived_bytes(stage);
  *out = (rn_weights){.stage = stage, .total = rn_stage_params(stage)->total};
  const size_t bytes = (size_t)out->total * sizeof(float);
  RN_TRY(err, rn_agree(err, world, create_shards(err, parallel, out)));
  RN_TRY(err, choose_nodes(err, config, parallel, bytes + derived_bytes, out));
  out->shared_bytes = (int64_t)(bytes + derived_bytes);
  if (out->sharing_ranks > 1 && derived_bytes > 0) {
    RN_TRY(err, rn_shared_array_create(err, world, out->node, "weights in bf16", derived_bytes,
                                       &out->derived));
  }
  RN_TRY(err, rn_shared_array_create(err, world, out->node, "weights", bytes, &out->memory));
  out->params = rn_shared_array_memory(out->memory);
  out->gather = (rn_weights_gather){.stage = stage,
                                    .weights = out->params,
                                    .shards = &out->shards.shards,
                                    .adopted = rn_stage_adopt_weights(stage, memory_of(out))};
  return rn_all_gather_create(err, out->node, &out->shards.shards, out->params, sizeof(float),
                              &out->gather.all_gather);
}

void rn_weights_destroy(rn_weights *weights) {
  rn_all_gather_destroy(&weights->gather.all_gather);
  rn_shared_array_destroy(&weights->derived);
  rn_shared_array_destroy(&weights->memory);
  rn_node_destroy(&weights->node);
  rn_shard_table_destroy(&weights->shards);
  *weights = (rn_weights){.stage = NULL};
}

/* ---- changing ---- */

void rn_weights_init_shards(rn_weights *w, uint64_t seed) {
  for (int i = 0; i < w->shards.slices; i++) {
    const rn_range own = w->shards.slice[i].range;
    rn_param_init_values(rn_stage_params(w->stage), seed, own.begin, own.end,
                         w->params + own.begin);
    rn_progress_unit();
  }
}

rn_status rn_weights_start_fetch(rn_err *err, rn_weights *w) {
  w->is_current = false;
  return rn_weights_gather_start(err, &w->gather);
}

rn_status rn_weights_finish_fetch(rn_err *err, rn_weights *w) {
  return rn_weights_gather_finish(err, &w->gather);
}

rn_status rn_weights_cast(rn_err *err, rn_weights *w) {
  if (!w->gather.adopted || rn_stage_derived_bytes(w->stage) == 0 || w->is_current) return RN_OK;
  RN_TRY(err, rn_weights_finish_fetch(err, w));
  RN_TRY(err,
         rn_stage_write_weights(err, w->stage, w->params,
                                rn_cut(w->total, rn_node_size(w->node), rn_node_index(w->node))));
  w->is_current = true;
  return rn_node_barrier(err, w->node);
}

int64_t rn_weights_shared_bytes(const rn_weights *w) {
  return rn_node_size(w->node) > 1 && rn_node_index(w->node) == 0 ? w->shared_bytes : 0;
}
