#include "trainer/plan/decisions.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/kernel/gemm.h"
#include "trainer/parallel/shapes.h"

void rn_decisions_set(rn_decisions *decisions, const char *key, const char *value) {
  int i = 0;
  while (i < decisions->count && strcmp(decisions->item[i].key, key) != 0) i++;
  assert(i < RN_DECISIONS_MAX);
  decisions->item[i].key = key;
  snprintf(decisions->item[i].value, RN_DECISION_BYTES, "%s", value);
  if (i == decisions->count) decisions->count++;
}

const char *rn_decisions_find(const rn_decisions *decisions, const char *key) {
  for (int i = 0; i < decisions->count; i++) {
    if (strcmp(decisions->item[i].key, key) == 0) return decisions->item[i].value;
  }
  return NULL;
}

/* Records `value` as a decision if the key is 0. */
static void decide_number(rn_decisions *d, const char *key, int64_t given, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)value);
  if (given == 0) rn_decisions_set(d, key, text);
}

static void decide_switch(rn_decisions *d, const char *key, Retnet__Switch given, bool on) {
  if (given == RETNET__SWITCH__SWITCH_AUTO) rn_decisions_set(d, key, on ? "on" : "off");
}

static void decide_split(rn_decisions *d, const rn_plan *plan) {
  char text[RN_DECISION_BYTES] = "[";
  size_t used = 1;
  for (int s = 0; s < plan->layout.pipeline; s++) {
    const int layers = plan->memory.first[s + 1] - plan->memory.first[s];
    used += (size_t)snprintf(text + used, sizeof text - used, s > 0 ? ", %d" : "%d", layers);
    if (used > sizeof text - 16) {
      snprintf(text + used, sizeof text - used, ", ...");
      break;
    }
  }
  used = strlen(text);
  snprintf(text + used, sizeof text - used, "]");
  rn_decisions_set(d, "parallel.layer_split", text);
}

static void decide_grid(rn_decisions *d, const Retnet__Parallel *p, const rn_plan *plan) {
  const rn_layout *l = &plan->layout;
  decide_number(d, "parallel.data", p->data, l->data);
  decide_number(d, "parallel.pipeline", p->pipeline, l->pipeline);
  decide_number(d, "parallel.sequence", p->sequence, l->sequence);
  decide_number(d, "parallel.segments", p->segments, l->segments);
  decide_number(d, "parallel.microbatch", p->microbatch, l->microbatch);
  decide_number(d, "parallel.threads", p->threads, plan->machine.threads);
  if (p->n_layer_split == 0 && l->pipeline > 1) decide_split(d, plan);
  decide_switch(d, "parallel.share_weights", p->share_weights, plan->memory.shared);
}

static void decide_scan(rn_decisions *d, const Retnet__Config *config, const rn_plan *plan,
                        const rn_spec *spec) {
  const int layers = plan->memory.first[1] - plan->memory.first[0], ranks = plan->layout.sequence;
  if (config->parallel->scan != RETNET__SCAN__SCAN_AUTO || ranks == 1) return;
  const rn_scan_source_shape shape = rn_shapes_scan(config, &plan->layout, layers);
  rn_decisions_set(d, "parallel.scan", rn_scan_name(rn_scan_source_choose(spec, shape, ranks)));
}

void rn_decisions_make(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                       rn_decisions *out) {
  const rn_layout *l = &plan->layout;
  const rn_pipeline_shape shape = rn_shapes_pipeline(config, l, 0, (rn_range){0, 1}, 1);
  *out = (rn_decisions){.count = 0};
  decide_grid(out, config->parallel, plan);
  decide_scan(out, config, plan, spec);
  decide_switch(out, "parallel.split_weight", config->parallel->split_weight,
                shape.schedule.split_weight);
  if (l->reduction_block > 0) decide_number(out, "run.leaf", config->run->leaf, l->reduction_block);
  decide_number(out, "model.chunk", config->model->chunk, spec->chunk);
  if (config->model->products == RETNET__PRODUCTS__PRODUCTS_AUTO) {
    rn_decisions_set(out, "model.products", rn_gemm_backend_in_use()->name);
  }
  if (config->optimizer->schedule != RETNET__SCHEDULE__SCHEDULE_CONSTANT) {
    decide_number(out, "optimizer.decay_steps", config->optimizer->decay_steps,
                  config->train->steps);
  }
}

void rn_config_notes_describe(const void *self, const char *key, char *text, size_t bytes) {
  const rn_config_notes *n = self;
  rn_effective_describe(n->effective, n->locations, key, text, bytes);
  const char *decided = rn_decisions_find(n->decisions, key);
  const size_t used = strlen(text);
  if (decided != NULL) snprintf(text + used, bytes - used, "; by rule: %s", decided);
}
