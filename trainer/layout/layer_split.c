#include "trainer/layout/layer_split.h"

#include <assert.h>
#include <stdbool.h>

static rn_status given_split(rn_err *err, const rn_spec *spec, const Retnet__Parallel *parallel,
                             int stages, int *first) {
  if (parallel->n_layer_split != (size_t)stages) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.layer_split has %zu entries, but parallel.pipeline is %d: list the "
                   "layers of every stage",
                   parallel->n_layer_split, stages);
  }
  int64_t sum = 0;
  for (int s = 0; s < stages; s++) {
    if (parallel->layer_split[s] < 1) {
      return rn_fail(
          err, RN_ERR_USAGE,
          "parallel.layer_split: stage %d has %d layers, but each stage needs at least 1", s,
          parallel->layer_split[s]);
    }
    first[s] = (int)sum;
    sum += parallel->layer_split[s];
    if (sum > spec->layers) break;
  }
  if (sum != spec->layers) {
    return rn_fail(err, RN_ERR_USAGE,
                   "the entries of parallel.layer_split must add up to model.layers %d",
                   spec->layers);
  }
  first[stages] = spec->layers;
  return RN_OK;
}

/* Returns the FLOP per token of stage `stage` with `layers` layers. */
static double work(const rn_spec *spec, int stages, int stage, int layers) {
  return layers * rn_spec_layer_flops(spec) + (stage == 0 ? rn_spec_embedding_flops(spec) : 0) +
         (stage == stages - 1 ? rn_spec_head_flops(spec) : 0);
}

/* ---- layers of equal cost ---- */

/*
 * All layers cost the same. Each layer is therefore added to the stage that has the least work with
 * this layer included, which minimizes the work of the most loaded stage. Inner stages are
 * equivalent and receive layers round-robin, so only three candidates are compared: the first
 * stage, the next inner stage and the last stage. Ties go to the lowest stage.
 */
static void even_split(const rn_spec *spec, int stages, int *first) {
  int *count = first + 1, inner = 1;
  for (int s = 0; s < stages; s++) count[s] = 1;
  for (int l = stages; l < spec->layers; l++) {
    const int candidate[] = {inner, stages - 1};
    int lightest = 0;
    for (int i = stages > 2 ? 0 : 1; stages > 1 && i < 2; i++) {
      const int s = candidate[i];
      if (work(spec, stages, s, count[s] + 1) < work(spec, stages, lightest, count[lightest] + 1)) {
        lightest = s;
      }
    }
    count[lightest]++;
    if (lightest > 0 && lightest == inner) inner = inner + 1 < stages - 1 ? inner + 1 : 1;
  }
  first[0] = 0;
  for (int s = 0; s < stages; s++) first[s + 1] += first[s];
}

/* ---- layers of different costs ---- */

/*
 * Gives each stage, from first to last, as many layers as fit into `most` FLOP per token, but at
 * least one, and leaves a layer for every later stage. Returns false if a stage exceeds `most`.
 */
static bool fill_stages(const rn_spec *spec, int stages, double most, int *first) {
  int layer = 0;
  double sum = 0;
  for (int s = 0; s < stages; s++) {
    first[s] = layer;
    sum = work(spec, stages, s, 0);
    const int end = spec->layers - (stages - 1 - s);
    do {
      sum += rn_spec_flops_of_layer(spec, layer++);
    } while (layer < end && (s == stages - 1 || sum + rn_spec_flops_of_layer(spec, layer) <= most));
    if (sum > most) return false;
  }
  first[stages] = layer;
  return layer == spec->layers;
}

/* Minimizes the work of the most loaded stage by bisection. */
static void balanced_split(const rn_spec *spec, int stages, int *first) {
  enum { HALVINGS = 60 };
  double least = 0, most = 2 * rn_spec_flops_per_token(spec) + rn_spec_embedding_flops(spec);
  for (int i = 0; i < HALVINGS; i++) {
    const double middle = (least + most) / 2;
    if (fill_stages(spec, stages, middle, first)) {
      most = middle;
    } else {
      least = middle;
    }
  }
  fill_stages(spec, stages, most, first);
}

rn_status rn_layer_split(rn_err *err, const rn_spec *spec, const Retnet__Parallel *parallel,
                         int stages, int *first) {
  assert(1 <= stages && stages <= spec->layers);
  if (parallel->n_layer_split > 0) return given_split(err, spec, parallel, stages, first);
  const int attending = rn_spec_attention_layers(spec, 0, spec->layers);
  if (attending == 0 || attending == spec->layers) {
    even_split(spec, stages, first);
  } else {
    balanced_split(spec, stages, first);
  }
  return RN_OK;
}
