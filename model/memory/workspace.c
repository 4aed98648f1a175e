#include "model/memory/workspace.h"

#include <string.h>

rn_status rn_workspace_create(rn_err *err, const rn_buffer_plan *plan, rn_workspace *out) {
  assert(plan->placed);
  *out = (rn_workspace){.plan = plan};
  return rn_arena_create(err, plan->bytes[RN_MEMORY_WORKSPACE], &out->arena);
}

void rn_workspace_destroy(rn_workspace *workspace) {
  rn_arena_destroy(&workspace->arena);
  *workspace = (rn_workspace){0};
}

void rn_poison(void *memory, size_t bytes) {
  memset(memory, 0xff, bytes);
}

static bool stays_live(const rn_workspace *w, const rn_planned_buffer *planned,
                       rn_unit_phase phase) {
  const rn_phase_set live = planned->buffer.live;
  const bool of_both = planned->layers == RN_ALL_LAYERS ||
                       (planned->layers == w->layers && planned->layers == w->layers_of_phase);
  return of_both && planned->memory == RN_MEMORY_WORKSPACE && (live >> w->phase & 1) &&
         (live >> phase & 1);
}

/* Returns the first buffer at or after byte `from` that was live in the previous phase and is still
 * live, or NULL if there is none. */
static const rn_buffer *next_live(const rn_workspace *w, rn_unit_phase phase, size_t from) {
  const rn_buffer *found = NULL;
  for (int i = 0; i < w->plan->count; i++) {
    const rn_buffer *b = &w->plan->planned[i].buffer;
    if (!stays_live(w, &w->plan->planned[i], phase) || b->offset < from || b->bytes == 0) continue;
    if (found == NULL || b->offset < found->offset) found = b;
  }
  return found;
}

static void poison_dead(const rn_workspace *w, rn_unit_phase phase) {
  size_t from = 0;
  for (const rn_buffer *b; (b = next_live(w, phase, from)) != NULL; from = b->offset + b->bytes) {
    rn_poison(w->arena.base + from, b->offset - from);
  }
  rn_poison(w->arena.base + from, w->plan->bytes[RN_MEMORY_WORKSPACE] - from);
}

void rn_workspace_begin(rn_workspace *w, rn_unit_phase phase) {
  if (w->poison) poison_dead(w, phase);
  w->phase = phase;
  w->layers_of_phase = w->layers;
}
