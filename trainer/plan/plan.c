#include "trainer/plan/plan.h"

#include <stdio.h>
#include <string.h>

#include "trainer/plan/size_check.h"

/* Limits of the search for a sufficient number of ranks, which doubles the number in each round. */
enum { DOUBLINGS = 12, MAX_RANKS = 1 << 24 };

static rn_status measure(rn_err *err, const Retnet__Config *config, const rn_spec *spec, int ranks,
                         rn_machine machine, rn_plan *out) {
  rn_spec fitted = *spec;
  *out = (rn_plan){.ranks = ranks, .machine = machine};
  RN_TRY(err, rn_layout_resolve(err, config, spec->layers, ranks, &out->layout));
  RN_TRY(err, rn_layout_fit_chunk(err, config, &out->layout, &fitted));
  RN_TRY(err, rn_size_check(err, config, &fitted, &out->layout));
  return rn_memory_plan_create(err, config, &fitted, &out->layout, machine, &out->memory);
}

size_t rn_plan_node_bytes(const rn_plan *plan) {
  return rn_memory_largest_node(&plan->memory, &plan->layout, plan->machine.ranks);
}

static bool fits(const rn_plan *plan) {
  return plan->machine.memory_bytes == 0 ||
         rn_plan_node_bytes(plan) <= (size_t)plan->machine.memory_bytes;
}

/*
 * True if the layout with parallel section `keys` is valid and fits into memory. The caller then
 * owns *out.
 */
static bool would_fit(const Retnet__Config *config, Retnet__Parallel keys, const rn_spec *spec,
                      int ranks, rn_machine machine, rn_plan *out) {
  rn_err unused = {0};
  Retnet__Config changed = *config;
  changed.parallel = &keys;
  if (measure(&unused, &changed, spec, ranks, machine, out) == RN_OK && fits(out)) return true;
  rn_plan_destroy(out);
  return false;
}

/* Finds the smallest number of stages that fits into memory, if parallel.pipeline is 0. */
static bool find_stages(const Retnet__Config *config, const rn_spec *spec, rn_plan *plan) {
  const int ranks = plan->ranks;
  if (config->parallel->pipeline != 0) return false;
  for (int p = 2; p <= ranks && p <= spec->layers; p++) {
    Retnet__Parallel keys = *config->parallel;
    rn_plan found;
    keys.pipeline = p;
    if (ranks % p != 0 || !would_fit(config, keys, spec, ranks, plan->machine, &found)) continue;
    snprintf(found.pipeline_reason, sizeof found.pipeline_reason,
             "fewer stages need %zu MiB per node, but a node has only %lld MiB",
             rn_plan_node_bytes(plan) >> 20, (long long)plan->machine.memory_bytes >> 20);
    rn_plan_destroy(plan);
    *plan = found;
    return true;
  }
  return false;
}

/* Returns the largest divisor of n that is less than `below`, or 0 if there is none. */
static int divisor_below(int n, int below) {
  int best = 0;
  for (int i = 1; (int64_t)i * i <= n; i++) {
    if (n % i != 0) continue;
    if (n / i < below) return n / i;
    if (i < below) best = i;
  }
  return best;
}

/* Finds a grid of `ranks` ranks that fits into memory. Prefers few stages, then many data ranks. */
static bool find_any(const Retnet__Config *config, const rn_spec *spec, int ranks,
                     rn_machine machine, rn_plan *found) {
  for (int p = 1; p <= ranks && p <= spec->layers; p++) {
    if (ranks % p != 0) continue;
    for (int d = ranks / p; d >= 1; d = divisor_below(ranks / p, d)) {
      if (d > config->data->batch_sequences) continue;
      Retnet__Parallel keys = *config->parallel;
      keys.data = d;
      keys.pipeline = p;
      keys.sequence = ranks / p / d;
      keys.segments = 0;
      keys.microbatch = 1;
      if (keys.n_layer_split != (size_t)p) keys.n_layer_split = 0;
      if (would_fit(config, keys, spec, ranks, machine, found)) return true;
    }
  }
  return false;
}

/* Writes the memory shortage of a node, and a layout that fits, into plan->lack. */
static void describe_lack(const Retnet__Config *config, const rn_spec *spec, rn_plan *plan) {
  const long long need = (long long)(rn_plan_node_bytes(plan) >> 20);
  const long long have = (long long)(plan->machine.memory_bytes >> 20);
  const rn_layout *l = &plan->layout;
  char advice[RN_PLAN_REASON_BYTES] =
      "more ranks do not help; set train.recompute to block or use a smaller model";
  int ranks = plan->ranks;
  for (int i = 0; i <= DOUBLINGS && ranks <= MAX_RANKS; i++, ranks *= 2) {
    rn_plan found;
    if (!find_any(config, spec, ranks, plan->machine, &found)) continue;
    snprintf(advice, sizeof advice,
             "use %d ranks, %d on each node, with parallel.data %d, pipeline %d, sequence %d, "
             "microbatch 1 (%zu MiB per node)",
             ranks, ranks < plan->machine.ranks ? ranks : plan->machine.ranks, found.layout.data,
             found.layout.pipeline, found.layout.sequence, rn_plan_node_bytes(&found) >> 20);
    rn_plan_destroy(&found);
    break;
  }
  snprintf(plan->lack, sizeof plan->lack,
           "parallel.data %d x pipeline %d x sequence %d with microbatch %d needs %lld MiB per "
           "node of %d ranks, but a node has only %lld MiB: %s",
           l->data, l->pipeline, l->sequence, l->microbatch, need, plan->machine.ranks, have,
           advice);
}

rn_status rn_plan_create_any(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                             int ranks, rn_machine machine, rn_plan *out) {
  RN_TRY(err, measure(err, config, spec, ranks, machine, out));
  snprintf(
      out->pipeline_reason, sizeof out->pipeline_reason, "%s",
      config->parallel->pipeline != 0 ? "set by parallel.pipeline" : "all layers fit on each rank");
  if (fits(out) || find_stages(config, spec, out)) return RN_OK;
  if (config->parallel->pipeline == 0) {
    snprintf(out->pipeline_reason, sizeof out->pipeline_reason, "no number of stages fits");
  }
  describe_lack(config, spec, out);
  return RN_OK;
}

rn_status rn_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec, int ranks,
                         rn_machine machine, rn_plan *out) {
  RN_TRY(err, rn_plan_create_any(err, config, spec, ranks, machine, out));
  if (out->lack[0] == '\0') return RN_OK;
  const rn_status status = rn_fail(err, RN_ERR_USAGE, "%s", out->lack);
  rn_plan_destroy(out);
  return status;
}

void rn_plan_destroy(rn_plan *plan) {
  rn_memory_plan_destroy(&plan->memory);
}

/* ---- agreement ---- */

enum { LAYOUT_BYTES = 160 };

static void describe(const rn_layout *l, char text[LAYOUT_BYTES]) {
  snprintf(text, LAYOUT_BYTES,
           "data %d x pipeline %d x sequence %d with segments %d, microbatch %d, leaf %d", l->data,
           l->pipeline, l->sequence, l->segments, l->microbatch, l->reduction_block);
}

rn_status rn_plan_check_same(rn_err *err, rn_world *world, const rn_plan *plan) {
  rn_layout root = plan->layout;
  rn_status status = RN_OK;
  RN_TRY(err, rn_world_broadcast(err, world, &root, sizeof root));
  if (memcmp(&root, &plan->layout, sizeof root) != 0) {
    char own[LAYOUT_BYTES], other[LAYOUT_BYTES];
    describe(&plan->layout, own);
    describe(&root, other);
    status = rn_fail(err, RN_ERR_MISMATCH,
                     "this rank plans the layout %s, but rank 0 plans %s, because their hosts "
                     "differ: set parallel.data, pipeline, sequence, segments and microbatch",
                     own, other);
  }
  return rn_agree(err, world, status);
}
