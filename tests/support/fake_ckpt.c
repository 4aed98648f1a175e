#include "tests/support/fake_ckpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/random.h"

enum { MAX_ELEMENTS = 4096, MAX_SLICES = 4096 };

const fake_tensor fake_tensors[FAKE_TENSORS] = {
    {"embed_tokens.weight", 2, {13, 8}},
    {"layers.0.retention.q_proj.weight", 2, {8, 8}},
    {"layers.0.retention_layer_norm.weight", 1, {8}},
    {"layers.10.ffn.fc1.weight", 2, {3, 67}},
    {"layers.2.ffn.fc1.weight", 3, {5, 1, 7}},
    {"scalar", 0, {0}},
};

int64_t fake_elements(const fake_tensor *tensor) {
  int64_t elements = 1;
  for (int i = 0; i < tensor->dims; i++) elements *= tensor->shape[i];
  return elements;
}

float fake_value(uint64_t seed, int kind, int tensor, int64_t index) {
  uint64_t words[3] = {seed, (uint64_t)kind, (uint64_t)tensor};
  rn_random_key key = rn_random_key_make(RN_RANDOM_TEST, words, 3);
  return (float)(rn_random_uniform(key, (uint64_t)index) - 0.5) * (kind == 0 ? 1.0f : 1e-3f);
}

Retnet__Manifest fake_head(int64_t step) {
  static Retnet__Config config = RETNET__CONFIG__INIT;
  static Retnet__Model model = RETNET__MODEL__INIT;
  static Retnet__Vocabulary vocabulary = RETNET__VOCABULARY__INIT;
  model.has_dim = 1;
  model.dim = 8;
  config.model = &model;
  vocabulary.size = 13;
  Retnet__Manifest head = RETNET__MANIFEST__INIT;
  head.step = step;
  head.tokens = step * 100;
  head.next_sequence = step * 4;
  head.seed = 1;
  head.config = &config;
  head.vocabulary = &vocabulary;
  return head;
}

/* Slices of the model, which point into `values`. Each tensor is cut at random, and each slice
 * is assigned to a random writer. */
typedef struct fake_plan {
  rn_ckpt_slice slice[FAKE_MAX_PARTS][MAX_SLICES];
  int count[FAKE_MAX_PARTS];
  float values[FAKE_KINDS][FAKE_TENSORS][MAX_ELEMENTS];
} fake_plan;

static void deal_tensor(fake_plan *plan, int kind, int tensor, uint64_t seed, int parts,
                        rn_random_key key, uint64_t *asked) {
  const fake_tensor *t = &fake_tensors[tensor];
  int64_t elements = fake_elements(t);
  float *values = plan->values[kind][tensor];
  for (int64_t i = 0; i < elements; i++) values[i] = fake_value(seed, kind, tensor, i);
  for (int64_t first = 0; first < elements;) {
    int part = (int)(rn_random_bits(key, (*asked)++) % (uint64_t)parts);
    int64_t count = 1 + (int64_t)(rn_random_bits(key, (*asked)++) % (uint64_t)elements);
    if (count > elements - first) count = elements - first;
    rn_ckpt_slice *slice = &plan->slice[part][plan->count[part]++];
    *slice = (rn_ckpt_slice){
        (Retnet__TensorKind)kind, t->name, t->dims, {0}, first, count, values + first};
    memcpy(slice->shape, t->shape, sizeof slice->shape);
    first += count;
  }
}

rn_status fake_save(rn_err *err, const char *run_dir, int64_t step, uint64_t seed, int parts,
                    uint64_t cut) {
  rn_ckpt_report reports[FAKE_MAX_PARTS] = {{.bytes = NULL}};
  rn_random_key key = rn_random_key_make(RN_RANDOM_TEST, &cut, 1);
  uint64_t asked = 0;
  fake_plan *plan = calloc(1, sizeof *plan);
  for (int kind = 0; kind < FAKE_KINDS; kind++) {
    for (int tensor = 0; tensor < FAKE_TENSORS; tensor++) {
      deal_tensor(plan, kind, tensor, seed, parts, key, &asked);
    }
  }
  Retnet__Manifest head = fake_head(step);
  rn_path stage = rn_ckpt_stage_path(run_dir, step);
  rn_status status = rn_ckpt_stage_dir(err, run_dir, step);
  rn_ckpt_output output = {stage.text, 0, 0, 1};
  for (int i = 0; i < parts && status == RN_OK; i++) {
    const bool goes_on = cut % 2 == 1 && rn_random_bits(key, asked++) % 2 == 0;
    if (!goes_on) output = (rn_ckpt_output){stage.text, i, 0, 1};
    status = rn_ckpt_write_file(err, output, plan->slice[i], plan->count[i], &reports[i]);
    output.offset += reports[i].stored_bytes;
  }
  for (int i = 0; cut % 2 == 1 && i < parts / 2;
       i++) { /* rn_ckpt_commit must accept reports in any order */
    const rn_ckpt_report kept = reports[i];
    reports[i] = reports[parts - 1 - i];
    reports[parts - 1 - i] = kept;
  }
  if (status == RN_OK) status = rn_ckpt_commit(err, run_dir, &head, reports, parts);
  if (status == RN_OK) status = rn_ckpt_point_latest(err, run_dir, step);
  for (int i = 0; i < parts; i++) free(reports[i].bytes);
  free(plan);
  return status;
}

bool fake_is(rn_ckpt *ckpt, uint64_t seed) {
  static float values[MAX_ELEMENTS];
  for (int kind = 0; kind < FAKE_KINDS; kind++) {
    for (int tensor = 0; tensor < FAKE_TENSORS; tensor++) {
      const fake_tensor *t = &fake_tensors[tensor];
      int64_t elements = fake_elements(t);
      rn_status status = rn_ckpt_read(NULL, ckpt, (Retnet__TensorKind)kind, t->name,
                                      (rn_range){0, elements}, values);
      if (status != RN_OK) return false;
      for (int64_t i = 0; i < elements; i++) {
        if (values[i] != fake_value(seed, kind, tensor, i)) return false;
      }
    }
  }
  return rn_ckpt_manifest(ckpt)->n_tensor == (size_t)FAKE_KINDS * FAKE_TENSORS;
}
