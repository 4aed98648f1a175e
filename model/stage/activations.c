#include "model/stage/activations.h"

#include <stdlib.h>

#include "model/memory/buffer.h"

/* ---- plans ---- */

/* Declares or gets those buffers of a unit that belong to no layer (see rn_buffer_take). */
static void take_unit_buffers(const rn_stage_memory *memory, const rn_buffer_space *space,
                              rn_activations *out) {
  const rn_buffer_use unit = {.kind = RN_BUFFER_OF_UNIT};
  out->rows = rn_buffer_reals(space, "stage output", memory->rows * memory->dim, unit);
  out->embed_stat = rn_buffer_reals(space, "embedding norm statistics", memory->rows * 2, unit);
  if (memory->embed != NULL && memory->embed->has_norm) {
    out->d_embed =
        rn_buffer_reals(space, "d embedding", memory->rows * memory->dim,
                        rn_use_in_backward(RN_UNIT_PHASE_D_EMBED, RN_UNIT_PHASE_D_EMBED));
  }
}

static void plan_policy(rn_stage_memory *memory, rn_save_policy policy) {
  rn_activations none;
  rn_buffer_plan *plan = &memory->plan[policy];
  const rn_buffer_space space = {.plan = plan};
  *plan = rn_buffer_plan_make(policy);
  take_unit_buffers(memory, &space, &none);
  if (memory->layer_count > 0) (void)rn_layer_buffers(memory->layer, memory->rows, &space, NULL);
  if (memory->head != NULL) (void)rn_head_buffers(memory->head, memory->rows, &space);
  rn_buffer_plan_place(plan);
}

void rn_stage_memory_plan(rn_stage_memory *memory) {
  for (int policy = 0; policy < RN_SAVE_POLICIES; policy++) {
    plan_policy(memory, (rn_save_policy)policy);
  }
}

size_t rn_activations_bytes(const rn_stage_memory *memory, rn_save_policy save) {
  const rn_buffer_plan *plan = &memory->plan[save];
  size_t bytes = plan->bytes[RN_MEMORY_UNIT];
  for (int i = 0; i < memory->layer_count; i++) {
    bytes += plan->layer_bytes[rn_layer_kind(&memory->layer[i])];
  }
  return bytes;
}

size_t rn_stage_memory_workspace_bytes(const rn_stage_memory *memory, rn_save_policy save) {
  return memory->plan[save].bytes[RN_MEMORY_WORKSPACE];
}

/* ---- workspaces ---- */

static rn_status require_workspace(rn_err *err, rn_stage_memory *memory, rn_save_policy save) {
  rn_buffer_plan *plan = &memory->plan[save];
  rn_workspace *workspace = &memory->workspace[save];
  if (workspace->plan != NULL) return RN_OK;
  RN_TRY(err, rn_workspace_create(err, plan, workspace));
  if (memory->head_workspace != NULL || memory->head == NULL) return RN_OK;
  const rn_buffer_space space = {.plan = plan, .base = {workspace->arena.base}};
  memory->head_workspace = workspace;
  memory->head_work = rn_head_buffers(memory->head, memory->rows, &space);
  return RN_OK;
}

void rn_stage_memory_destroy(rn_stage_memory *memory) {
  for (int i = 0; i < RN_SAVE_POLICIES; i++) rn_workspace_destroy(&memory->workspace[i]);
}

/* ---- activations ---- */

static void take_buffers(rn_stage_memory *memory, rn_activations *out) {
  rn_buffer_plan *plan = &memory->plan[out->save];
  rn_workspace *workspace = &memory->workspace[out->save];
  char *unit = out->arena.base, *layers = unit + plan->bytes[RN_MEMORY_UNIT];
  rn_buffer_space space = {.plan = plan, .base = {workspace->arena.base, NULL, unit}};
  out->workspace = workspace;
  take_unit_buffers(memory, &space, out);
  for (int i = 0; i < out->layer_count; i++) {
    space.base[RN_MEMORY_LAYER] = layers;
    out->layer[i] = rn_layer_buffers(&memory->layer[i], memory->rows, &space, workspace);
    layers += plan->layer_bytes[rn_layer_kind(&memory->layer[i])];
  }
}

static rn_status take_layers(rn_err *err, rn_activations *activations) {
  return rn_alloc(err, "activations", (size_t)activations->layer_count, sizeof *activations->layer,
                  &activations->layer);
}

rn_status rn_stage_memory_create_activations(rn_err *err, rn_stage_memory *memory,
                                             rn_save_policy save, rn_activations **out) {
  *out = NULL;
  rn_activations *activations;
  RN_TRY(err, rn_alloc(err, "activations", 1, sizeof *activations, &activations));
  *activations = (rn_activations){
      .first_layer = memory->first_layer, .layer_count = memory->layer_count, .save = save};
  rn_status status;
  if ((status = take_layers(err, activations)) != RN_OK ||
      (status = require_workspace(err, memory, save)) != RN_OK ||
      (status = rn_arena_create(err, rn_activations_bytes(memory, save), &activations->arena)) !=
          RN_OK) {
    rn_activations_destroy(&activations);
    return status;
  }
  take_buffers(memory, activations);
  *out = activations;
  return RN_OK;
}

rn_status rn_activations_create_alias(rn_err *err, const rn_activations *memory,
                                      rn_activations **out) {
  *out = NULL;
  rn_activations *activations;
  RN_TRY(err, rn_alloc(err, "activations", 1, sizeof *activations, &activations));
  *activations = *memory;
  activations->arena = (rn_arena){0};
  activations->save = RN_SAVE_NOTHING;
  rn_status status = take_layers(err, activations);
  if (status != RN_OK) {
    rn_activations_destroy(&activations);
    return status;
  }
  for (int i = 0; i < activations->layer_count; i++) activations->layer[i] = memory->layer[0];
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

void rn_activations_poison(rn_activations *activations) {
  rn_poison(activations->arena.base, activations->arena.size_bytes);
  activations->workspace->poison = true;
}
