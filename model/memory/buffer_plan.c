#include "model/memory/buffer_plan.h"

#include <string.h>

enum { ALIGNMENT_BYTES = 64 };

rn_buffer_plan rn_buffer_plan_make(rn_save_policy policy) {
  return (rn_buffer_plan){.policy = policy};
}

/* Returns the set of all phases from the first to the last phase of `live`. */
static rn_phase_set without_holes(rn_phase_set live) {
  int first = 0, last = 63;
  if (live == 0) return 0;
  while ((live >> first & 1) == 0) first++;
  while ((live >> last & 1) == 0) last--;
  return rn_phase_range(first, last);
}

/* Returns the phases in which a buffer in the workspace is live. With RN_SAVE_INPUTS, backward
 * recomputes a layer's forward immediately before the layer's backward, so saved buffers are live
 * from the recomputed forward to the backward. */
static rn_phase_set live_in_workspace(rn_save_policy policy, rn_buffer_use use) {
  const rn_phase_set both = use.forward | use.backward;
  if (policy == RN_SAVE_NOTHING) return use.forward;
  return use.kind == RN_BUFFER_SAVED ? without_holes(both) : both;
}

static rn_memory_kind memory_of(rn_save_policy policy, rn_buffer_kind kind) {
  switch (kind) {
    case RN_BUFFER_TEMPORARY:
      return RN_MEMORY_WORKSPACE;
    case RN_BUFFER_RECOMPUTED:
      return policy == RN_SAVE_ALL ? RN_MEMORY_LAYER : RN_MEMORY_WORKSPACE;
    case RN_BUFFER_SAVED:
      return policy >= RN_SAVE_MOST ? RN_MEMORY_LAYER : RN_MEMORY_WORKSPACE;
    case RN_BUFFER_INPUT:
      return policy >= RN_SAVE_INPUTS ? RN_MEMORY_LAYER : RN_MEMORY_WORKSPACE;
    case RN_BUFFER_OF_UNIT:
      break;
  }
  return RN_MEMORY_UNIT;
}

static rn_planned_buffer *find(rn_buffer_plan *plan, const char *name) {
  for (int i = 0; i < plan->count; i++) {
    if (strcmp(plan->planned[i].buffer.name, name) == 0) return &plan->planned[i];
  }
  return NULL;
}

static void declare(rn_buffer_plan *plan, rn_layers layers, const char *name, size_t bytes,
                    rn_buffer_use use) {
  const rn_memory_kind memory = memory_of(plan->policy, use.kind);
  const rn_phase_set live = memory == RN_MEMORY_WORKSPACE ? live_in_workspace(plan->policy, use)
                                                          : rn_phase_range(0, RN_UNIT_PHASES - 1);
  assert(plan->count < RN_PLACEMENT_MAX && find(plan, name) == NULL);
  plan->planned[plan->count++] = (rn_planned_buffer){
      {name, (bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES, live, 0},
      memory,
      layers};
}

/* Returns a phase set for placement: bits 0 to 31 are the phases of a retention layer in which the
 * buffer is live, bits 32 to 63 those of an attention layer. The two kinds of layers never run at
 * the same time, so their buffers may share bytes. */
static rn_phase_set live_in_layers(rn_phase_set live, rn_layers layers) {
  enum { NEXT_KIND = 32 };
  _Static_assert((int)RN_UNIT_PHASES <= (int)NEXT_KIND,
                 "the phases of both kinds of layers fit into the bits of one phase set");
  if (layers == RN_RETENTION_LAYERS) return live;
  return live << NEXT_KIND | (layers == RN_ALL_LAYERS ? live : 0);
}

/* Sets plan->layer_bytes: the bytes of RN_MEMORY_LAYER that a layer of each kind needs. Call after
 * the buffers have been placed. */
static void measure_layers(rn_buffer_plan *plan) {
  for (int i = 0; i < plan->count; i++) {
    const rn_planned_buffer *p = &plan->planned[i];
    if (p->memory != RN_MEMORY_LAYER || p->buffer.live == 0) continue;
    for (int kind = RN_ALL_LAYERS; kind < RN_LAYER_KINDS; kind++) {
      const size_t end = p->buffer.offset + p->buffer.bytes;
      const bool has = p->layers == RN_ALL_LAYERS || p->layers == (rn_layers)kind;
      if (has && end > plan->layer_bytes[kind]) plan->layer_bytes[kind] = end;
    }
  }
}

static void place_memory(rn_buffer_plan *plan, rn_memory_kind memory) {
  rn_buffer buffer[RN_PLACEMENT_MAX];
  int count = 0;
  for (int i = 0; i < plan->count; i++) {
    const rn_planned_buffer *p = &plan->planned[i];
    if (p->memory != memory) continue;
    buffer[count] = p->buffer;
    buffer[count++].live = live_in_layers(p->buffer.live, p->layers);
  }
  plan->bytes[memory] = rn_place_buffers(buffer, count);
  for (int i = 0, next = 0; i < plan->count; i++) {
    if (plan->planned[i].memory == memory) plan->planned[i].buffer.offset = buffer[next++].offset;
  }
}

void rn_buffer_plan_place(rn_buffer_plan *plan) {
  assert(!plan->placed);
  for (int memory = 0; memory < RN_MEMORIES; memory++) place_memory(plan, (rn_memory_kind)memory);
  measure_layers(plan);
  plan->placed = true;
}

void *rn_buffer_take(const rn_buffer_space *space, const char *name, size_t bytes,
                     rn_buffer_use use) {
  rn_buffer_plan *plan = space->plan;
  if (!plan->placed) {
    declare(plan, space->layers, name, bytes, use);
    return NULL;
  }
  const rn_planned_buffer *planned = find(plan, name);
  assert(planned != NULL && bytes <= planned->buffer.bytes);
  if (planned->buffer.live == 0) return NULL;
  return space->base[planned->memory] + planned->buffer.offset;
}
