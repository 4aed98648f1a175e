#include "trainer/run/gradient_memory.h"

#include <stdio.h>

#include "proto/base/log.h"

static rn_status refuse(rn_err *err, const char *cause) {
  return rn_fail(err, RN_ERR_USAGE,
                 "parallel.share_gradients is on, but %.500s: set the key to auto or off", cause);
}

/* Shares memory among the ranks of each node. If that is impossible, the gradients stay private. */
static rn_status share(rn_err *err, bool must, const rn_parallel_context *parallel, size_t bytes,
                       rn_gradient_memory *m) {
  char cause[RN_ERR_TEXT_BYTES];
  const rn_status status =
      rn_peer_memory_create(err, parallel->world, m->node, "gradients", bytes, &m->peers);
  if (status != RN_ERR_MEMORY) return status;
  snprintf(cause, sizeof cause, "%s", err->text);
  rn_err_clear(err);
  if (must) return refuse(err, cause);
  rn_log_warn("gradients are sent in messages, even between ranks of a node: %s", cause);
  return RN_OK;
}

static rn_status choose(rn_err *err, const Retnet__Parallel *config,
                        const rn_parallel_context *parallel, size_t bytes, rn_gradient_memory *m) {
  const bool must = config->share_gradients == RETNET__SWITCH__SWITCH_ON;
  int max;
  RN_TRY(err, rn_node_read_limit(err, parallel->world, &max));
  RN_TRY(err, rn_node_create(err, parallel->world, parallel->grid, max, &m->node));
  int64_t fullest = rn_node_largest(m->node);
  rn_status status = rn_world_max(err, parallel->world, &fullest, 1);
  m->sharing_ranks = (int)fullest;
  if (status == RN_OK && fullest > 1) {
    status = share(err, must, parallel, bytes, m);
  } else if (status == RN_OK && must) {
    status = refuse(err, "no node has two ranks of one stage");
  }
  if (status == RN_OK && rn_node_size(m->node) > 1 && m->peers != NULL) {
    m->shared_bytes = (int64_t)bytes;
  }
  return status;
}

rn_status rn_gradient_memory_create(rn_err *err, const Retnet__Parallel *config,
                                    const rn_parallel_context *parallel, rn_stage *stage,
                                    rn_gradient_kind kind, rn_gradient_memory *out) {
  const size_t bytes_each = kind == RN_GRADIENT_EXACT ? sizeof(int64_t) : sizeof(float);
  const size_t bytes = (size_t)rn_stage_params(stage)->total * bytes_each;
  *out = (rn_gradient_memory){.sharing_ranks = 1};
  if (config->share_gradients == RETNET__SWITCH__SWITCH_OFF) return RN_OK;
  RN_TRY(err, choose(err, config, parallel, bytes, out));
  if (out->peers == NULL || !rn_stage_adopt_gradient(stage, rn_peer_memory_own(out->peers))) {
    rn_gradient_memory_destroy(out);
  }
  return RN_OK;
}

void rn_gradient_memory_destroy(rn_gradient_memory *memory) {
  rn_peer_memory_destroy(&memory->peers);
  rn_node_destroy(&memory->node);
  *memory = (rn_gradient_memory){.sharing_ranks = 1};
}
