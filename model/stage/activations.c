#include "model/stage/activations.h"

#include <stdlib.h>

static size_t rows_bytes(const rn_activation_pool *pool, int64_t width) {
  return rn_arena_round((size_t)(pool->rows * width) * sizeof(rn_real));
}

static size_t states_bytes(const rn_activation_pool *pool) {
  return rn_arena_round((size_t)(pool->layer_count * pool->states) * sizeof(rn_real));
}

/* ---- shared memory ---- */

static size_t d_out_bytes(const rn_activation_pool *pool, rn_save_policy keep) {
  const rn_layer *layer = pool->layer;
  if (keep == RN_SAVE_NOTHING || pool->layer_count == 0) return 0;
  if (!rn_layer_needs_d_out(layer)) return 0;
  return rn_arena_round((size_t)(pool->rows * pool->dim) * rn_element_bytes(layer->bf16));
}

static size_t lent_bytes(const rn_activation_pool *pool) {
  return rn_layer_workspace_bytes(pool->layer, pool->rows, false);
}

static size_t one_layer_bytes(const rn_activation_pool *pool) {
  return rn_layer_workspace_bytes(pool->layer, pool->rows, true) +
         rn_layer_activations_bytes(pool->layer, pool->rows, true, true);
}

size_t rn_activation_pool_shared_bytes(const rn_activation_pool *pool, rn_save_policy keep) {
  const size_t d_out = d_out_bytes(pool, keep);
  if (pool->layer_count == 0 || keep == RN_SAVE_ALL) return d_out;
  return d_out + (keep == RN_SAVE_MOST ? lent_bytes(pool) : one_layer_bytes(pool));
}

static rn_status share_d_out(rn_err *err, rn_activation_pool *pool, rn_save_policy keep) {
  const size_t bytes = d_out_bytes(pool, keep);
  if (bytes == 0 || pool->d_out_arena.base != NULL) return RN_OK;
  RN_TRY(err, rn_arena_create(err, bytes, &pool->d_out_arena));
  void *at = rn_arena_take(&pool->d_out_arena, bytes);
  for (int i = 0; i < pool->layer_count; i++) {
    pool->layer[i].d_out = (rn_array){at, pool->layer[i].bf16};
  }
  return RN_OK;
}

static rn_status share_lender(rn_err *err, rn_activation_pool *pool) {
  const size_t bytes = lent_bytes(pool);
  if (pool->most.ffn.product.at != NULL) return RN_OK;
  if (bytes > 0) RN_TRY(err, rn_arena_create(err, bytes, &pool->lent_arena));
  pool->most = rn_layer_workspace_take(pool->layer, pool->rows, false, &pool->lent_arena);
  return RN_OK;
}

static rn_status share_layer(rn_err *err, rn_activation_pool *pool) {
  if (pool->shared_arena.base != NULL) return RN_OK;
  RN_TRY(err, rn_arena_create(err, one_layer_bytes(pool), &pool->shared_arena));
  const rn_layer_workspace workspace =
      rn_layer_workspace_take(pool->layer, pool->rows, true, &pool->shared_arena);
  pool->shared =
      rn_layer_activations_take(pool->layer, pool->rows, &workspace, &pool->shared_arena);
  return RN_OK;
}

static rn_status share(rn_err *err, rn_activation_pool *pool, rn_save_policy keep) {
  RN_TRY(err, share_d_out(err, pool, keep));
  if (pool->layer_count == 0 || keep == RN_SAVE_ALL) return RN_OK;
  return keep == RN_SAVE_MOST ? share_lender(err, pool) : share_layer(err, pool);
}

void rn_activation_pool_destroy(rn_activation_pool *pool) {
  rn_arena_destroy(&pool->d_out_arena);
  rn_arena_destroy(&pool->lent_arena);
  rn_arena_destroy(&pool->shared_arena);
}

/* ---- one rn_activations ---- */

/* Number of layer inputs that are kept; without a backward all layers share one. */
static int inputs_kept(const rn_activation_pool *pool, rn_save_policy keep) {
  return keep == RN_SAVE_NOTHING && pool->layer_count > 0 ? 1 : pool->layer_count;
}

size_t rn_activations_bytes(const rn_activation_pool *pool, rn_save_policy keep) {
  const size_t rows = rows_bytes(pool, pool->dim);
  size_t bytes = rows_bytes(pool, 2) + rows + (size_t)inputs_kept(pool, keep) * rows;
  if (keep == RN_SAVE_INPUTS) bytes += states_bytes(pool);
  for (int i = 0; keep >= RN_SAVE_MOST && i < pool->layer_count; i++) {
    bytes += rn_layer_activations_bytes(&pool->layer[i], pool->rows, keep == RN_SAVE_MOST, false);
  }
  return bytes;
}

static void take_parts(const rn_activation_pool *pool, rn_activations *activations) {
  const rn_layer_workspace *workspace = activations->keep == RN_SAVE_MOST ? &pool->most : NULL;
  rn_real *input = NULL;
  activations->embed_stat = rn_arena_take(&activations->arena, rows_bytes(pool, 2));
  activations->last = rn_arena_take(&activations->arena, rows_bytes(pool, pool->dim));
  if (activations->keep == RN_SAVE_INPUTS) {
    activations->before = rn_arena_take(&activations->arena, states_bytes(pool));
  }
  for (int i = 0; i < pool->layer_count; i++) {
    const rn_layer *layer = &pool->layer[i];
    activations->layer[i] =
        activations->keep < RN_SAVE_MOST
            ? pool->shared
            : rn_layer_activations_take(layer, pool->rows, workspace, &activations->arena);
    if (i < inputs_kept(pool, activations->keep)) {
      input = rn_arena_take(&activations->arena, rows_bytes(pool, pool->dim));
    }
    rn_layer_activations_keep_at(layer, &activations->layer[i], input);
  }
}

static rn_status take_layers(rn_err *err, rn_activations *activations) {
  return rn_alloc(err, "tape", (size_t)activations->layer_count, sizeof *activations->layer,
                  &activations->layer);
}

rn_status rn_activation_pool_create_activations(rn_err *err, rn_activation_pool *pool,
                                                rn_save_policy keep, rn_activations **out) {
  *out = NULL;
  rn_activations *activations;
  RN_TRY(err, rn_alloc(err, "tape", 1, sizeof *activations, &activations));
  *activations = (rn_activations){.first_layer = pool->first_layer,
                                  .layer_count = pool->layer_count,
                                  .states = pool->states,
                                  .keep = keep};
  rn_status status;
  if ((status = take_layers(err, activations)) != RN_OK ||
      (status = share(err, pool, keep)) != RN_OK ||
      (status = rn_arena_create(err, rn_activations_bytes(pool, keep), &activations->arena)) !=
          RN_OK) {
    rn_activations_destroy(&activations);
    return status;
  }
  take_parts(pool, activations);
  *out = activations;
  return RN_OK;
}

rn_status rn_activations_create_alias(rn_err *err, const rn_activations *workspace,
                                      rn_activations **out) {
  *out = NULL;
  rn_activations *activations;
  RN_TRY(err, rn_alloc(err, "tape", 1, sizeof *activations, &activations));
  *activations = (rn_activations){.first_layer = workspace->first_layer,
                                  .layer_count = workspace->layer_count,
                                  .states = workspace->states,
                                  .keep = RN_SAVE_NOTHING,
                                  .embed_stat = workspace->embed_stat,
                                  .last = workspace->last};
  rn_status status = take_layers(err, activations);
  if (status != RN_OK) {
    rn_activations_destroy(&activations);
    return status;
  }
  for (int i = 0; i < activations->layer_count; i++) activations->layer[i] = workspace->layer[0];
  *out = activations;
  return RN_OK;
}

void rn_activations_destroy(rn_activations **activations) {
  if (*activations == NULL) return;
  rn_arena_destroy(&(*activations)->arena);
  free((*activations)->layer);
  free(*activations);
  *activations = NULL;
}
