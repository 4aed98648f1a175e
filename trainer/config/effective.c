#include "trainer/config/effective.h"

#include <stdio.h>
#include <string.h>

#include "model/spec/preset.h"
#include "model/spec/spec_attention.h"
#include "trainer/layout/layout.h"

/* Context of a visit over all keys that records the origins of their values. */
typedef struct tracer {
  const Retnet__Config *given, *preset;
  rn_origin *origin;
} tracer;

static void trace_key(void *self, const char *key) {
  const tracer *t = self;
  t->origin[rn_options_key_index(key)] = rn_options_given(t->given, key)    ? RN_ORIGIN_GIVEN
                                         : rn_options_given(t->preset, key) ? RN_ORIGIN_PRESET
                                                                            : RN_ORIGIN_DEFAULT;
}

static bool has_preset(const Retnet__Config *config) {
  return config->model->preset != NULL && config->model->preset[0] != '\0';
}

/* Sets those keys of the preset that are not given, and records the current origin of every key. */
static rn_status apply_preset(rn_err *err, Retnet__Config *config, rn_origin *origin) {
  Retnet__Config *preset = NULL;
  rn_status status = rn_options_create(err, &preset);
  if (status == RN_OK && has_preset(config)) {
    status = rn_preset_keys(err, config->model->preset, preset->model);
  }
  if (status == RN_OK) {
    rn_spec_fit_preset(config->model, preset->model);
    tracer t = {config, preset, origin};
    rn_options_each(trace_key, &t);
    rn_options_merge(config, preset);
  }
  rn_options_free(&preset);
  return status;
}

/*
 * Adapts a preset's chunk length to the reduction block of reproducible mode. A chunk length that
 * is given is not changed; rn_layout_fit_chunk checks it.
 */
static void fit_chunk_of_preset(Retnet__Config *config, rn_origin *origin) {
  const int chunk = config->model->chunk, reduction_block = rn_layout_reduction_block(config);
  const int index = rn_options_key_index("model.chunk");
  if (origin[index] != RN_ORIGIN_PRESET || reduction_block == 0 || reduction_block % chunk == 0)
    return;
  config->model->chunk = rn_layout_chunk_within(reduction_block, chunk);
  origin[index] = RN_ORIGIN_RULE;
}

static rn_status resolve(rn_err *err, Retnet__Config *config, int data_vocab, rn_effective *out) {
  RN_TRY(err, apply_preset(err, config, out->origin));
  fit_chunk_of_preset(config, out->origin);
  if (config->model->vocab == 0 && data_vocab > 0) {
    out->origin[rn_options_key_index("model.vocab")] = RN_ORIGIN_DATA;
    config->model->vocab = data_vocab;
  }
  rn_options_give_all(config);
  return rn_spec_from_config(err, config, data_vocab, &out->spec);
}

rn_status rn_effective_create(rn_err *err, const Retnet__Config *given, int data_vocab,
                              rn_effective *out) {
  Retnet__Config *config = NULL;
  *out = (rn_effective){0};
  RN_TRY(err, rn_options_copy(err, given, &config));
  const rn_status status = resolve(err, config, data_vocab, out);
  if (status != RN_OK) rn_options_free(&config);
  out->config = config;
  return status;
}

void rn_effective_destroy(rn_effective *effective) {
  Retnet__Config *config = (Retnet__Config *)effective->config;
  rn_options_free(&config);
  *effective = (rn_effective){0};
}

/*
 * Writes the location of a key's value. The file name is printed in YAML comments, so it must be a
 * single line of printable ASCII.
 */
static void describe_location(const rn_options_locations *locations, int line, char *text,
                              size_t bytes) {
  if (line == RN_OPTIONS_BY_S) {
    snprintf(text, bytes, "-s");
    return;
  }
  snprintf(text, bytes, "%.200s:%d", locations->file, line);
  for (char *c = text; *c != '\0'; c++) {
    if (*c < ' ' || *c > '~') *c = '?';
  }
}

void rn_effective_describe(const rn_effective *effective, const rn_options_locations *locations,
                           const char *key, char *text, size_t bytes) {
  const int index = rn_options_key_index(key);
  switch (effective->origin[index]) {
    case RN_ORIGIN_DEFAULT:
      snprintf(text, bytes, "default");
      return;
    case RN_ORIGIN_PRESET:
      snprintf(text, bytes, "preset %s", effective->config->model->preset);
      return;
    case RN_ORIGIN_DATA:
      snprintf(text, bytes, "data");
      return;
    case RN_ORIGIN_RULE:
      snprintf(text, bytes, "rule");
      return;
    case RN_ORIGIN_GIVEN:
      break;
  }
  if (locations != NULL && locations->line[index] != 0) {
    describe_location(locations, locations->line[index], text, bytes);
  } else {
    snprintf(text, bytes, "given");
  }
}
