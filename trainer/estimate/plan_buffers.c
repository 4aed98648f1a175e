#include "trainer/estimate/plan_buffers.h"

#include "model/memory/buffer_plan.h"
#include "proto/base/log.h"
#include "trainer/parallel/pipeline.h"
#include "trainer/parallel/shapes.h"

static double mib(size_t bytes) {
  return (double)bytes / (1 << 20);
}

/*
 * Returns the next smaller buffer of one kind of memory after `last`, or the largest one if `last`
 * is NULL. Returns NULL if there is none. Buffers of equal size are returned in the order of the
 * plan.
 */
static const rn_planned_buffer *next_smaller(const rn_buffer_plan *plan, rn_memory_kind memory,
                                             const rn_planned_buffer *last) {
  const rn_planned_buffer *found = NULL;
  for (int i = 0; i < plan->count; i++) {
    const rn_planned_buffer *p = &plan->planned[i];
    if (p->memory != memory || p->buffer.live == 0) continue;
    if (last != NULL && (p->buffer.bytes > last->buffer.bytes ||
                         (p->buffer.bytes == last->buffer.bytes && p <= last))) {
      continue;
    }
    if (found == NULL || p->buffer.bytes > found->buffer.bytes) found = p;
  }
  return found;
}

/* Shows the buffers that use at least 1 % of one kind of memory. */
static void show_memory(const rn_buffer_plan *plan, rn_memory_kind memory, const char *title) {
  char lifetime[RN_UNIT_PHASES_TEXT_BYTES];
  if (plan->bytes[memory] == 0) return;
  rn_log_info("  %-32s %8.2f", title, mib(plan->bytes[memory]));
  for (const rn_planned_buffer *p = NULL; (p = next_smaller(plan, memory, p)) != NULL;) {
    if (100 * p->buffer.bytes < plan->bytes[memory]) break;
    rn_unit_phases_text(p->buffer.live, lifetime);
    rn_log_info("    %-30s %8.2f  %s", p->buffer.name, mib(p->buffer.bytes),
                memory == RN_MEMORY_WORKSPACE ? lifetime : "from forward to backward");
  }
}

rn_status rn_plan_buffers_show(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                               const rn_spec *spec) {
  const rn_layout *l = &plan->layout;
  const int stage = rn_memory_largest_stage(&plan->memory);
  const rn_range layers = {plan->memory.first[stage], plan->memory.first[stage + 1]};
  const int64_t share = (config->data->batch_sequences + l->data - 1) / l->data;
  const rn_pipeline_shape shape = rn_shapes_pipeline(config, l, stage, layers, share);
  rn_pipeline_sizes sizes;
  RN_TRY(err, rn_pipeline_measure(err, spec, shape, &sizes));
  rn_log_info("buffers      stage %d: %d units of %d x %d tokens in memory, %d layers; in MiB",
              stage, plan->memory.pool[stage], shape.sequences, shape.tokens,
              (int)(layers.end - layers.begin));
  show_memory(&sizes.buffers, RN_MEMORY_UNIT, "each unit");
  show_memory(&sizes.buffers, RN_MEMORY_LAYER, "each layer of each unit");
  show_memory(&sizes.buffers, RN_MEMORY_WORKSPACE, "workspace, and phases of use");
  return RN_OK;
}
