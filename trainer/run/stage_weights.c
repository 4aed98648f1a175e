#include "trainer/run/stage_weights.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/log.h"

/* Maximum number of ranks that may share a copy; 0: all ranks of the stage on a node. */
static rn_status read_limit(rn_err *err, const Retnet__Config *config, const rn_world *world,
                            int *max_size) {
  RN_TRY(err, rn_node_read_limit(err, world, max_size));
  if (config->parallel->share_weights == RETNET__SWITCH__SWITCH_OFF) *max_size = 1;
  return RN_OK;
}

static rn_status find_nodes(rn_err *err, rn_world *world, const rn_grid *grid, int most,
                            rn_weights *w) {
  RN_TRY(err, rn_node_create(err, world, grid, most, &w->node));
  int64_t fullest = rn_node_largest(w->node);
  RN_TRY(err, rn_world_max(err, world, &fullest, 1));
  w->together = (int)fullest;
  return RN_OK;
}

/* Chooses the ranks that share a copy, from the key and the free shared memory of the nodes. */
static rn_status choose_nodes(rn_err *err, const Retnet__Config *config, rn_world *world,
                              const rn_grid *grid, size_t bytes, rn_weights *w) {
  const bool must = config->parallel->share_weights == RETNET__SWITCH__SWITCH_ON;
  char cause[RN_ERR_TEXT_BYTES];
  int max_size;
  RN_TRY(err, read_limit(err, config, world, &max_size));
  RN_TRY(err, find_nodes(err, world, grid, max_size, w));
  if (must && w->together == 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.share_weights is on, but no node has two ranks of one stage: set it "
                   "to auto");
  }
  const rn_status room = rn_shared_array_check_space(err, world, w->node, bytes);
  if (room != RN_ERR_MEMORY) return room;
  snprintf(cause, sizeof cause, "%s", err->text);
  rn_err_clear(err);
  if (must) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "parallel.share_weights is on, but %.500s: make it larger, or set the key to off", cause);
  }
  rn_log_warn("weights are not shared by the ranks of a node: %s", cause);
  rn_node_destroy(&w->node);
  return find_nodes(err, world, grid, 1, w);
}

static rn_status make(rn_err *err, const Retnet__Config *config, rn_world *world,
                      const rn_grid *grid, const rn_optimizer_shards *shares, int64_t total,
                      size_t copy_bytes, rn_weights *w) {
  const size_t bytes = (size_t)total * sizeof(float);
  RN_TRY(err, choose_nodes(err, config, world, grid, bytes + copy_bytes, w));
  w->shared_bytes = (int64_t)(bytes + copy_bytes);
  if (w->together > 1 && copy_bytes > 0) {
    RN_TRY(err,
           rn_shared_array_create(err, world, w->node, "weights in bf16", copy_bytes, &w->copy));
  }
  RN_TRY(err, rn_shared_array_create(err, world, w->node, "weights", bytes, &w->memory));
  return rn_all_gather_create(err, w->node, shares, rn_shared_array_memory(w->memory),
                              sizeof(float), &w->all_gather);
}

rn_status rn_weights_create(rn_err *err, const Retnet__Config *config, rn_world *world,
                            const rn_grid *grid, const rn_optimizer_shards *shares, int64_t total,
                            size_t copy_bytes, rn_weights *out) {
  *out = (rn_weights){0};
  rn_status status = make(err, config, world, grid, shares, total, copy_bytes, out);
  if (status != RN_OK && status != RN_ERR_MPI) rn_weights_destroy(out);
  return status;
}

int64_t rn_weights_shared_bytes(const rn_weights *w) {
  return rn_node_size(w->node) > 1 && rn_node_index(w->node) == 0 ? w->shared_bytes : 0;
}

void rn_weights_destroy(rn_weights *weights) {
  rn_all_gather_destroy(&weights->all_gather);
  rn_shared_array_destroy(&weights->copy);
  rn_shared_array_destroy(&weights->memory);
  rn_node_destroy(&weights->node);
  *weights = (rn_weights){0};
}
