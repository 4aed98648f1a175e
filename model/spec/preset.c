#include "model/spec/preset.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef enum { FAMILY_TORCHSCALE, FAMILY_PAPER } family;

typedef struct preset {
  const char *name;
  family family;
  int layers, dim, value_dim, ffn_dim, heads;
} preset;

static const preset presets[] = {
    {"retnet_base", FAMILY_TORCHSCALE, 6, 512, 864, 864, 2},
    {"retnet_medium", FAMILY_TORCHSCALE, 16, 1024, 1728, 1728, 4},
    {"retnet_xl", FAMILY_TORCHSCALE, 24, 2048, 3456, 3456, 8},
    {"retnet_3b", FAMILY_TORCHSCALE, 32, 2560, 4280, 4280, 10},
    {"retnet_7b", FAMILY_TORCHSCALE, 32, 4096, 6912, 6912, 16},
    {"retnet_13b", FAMILY_TORCHSCALE, 40, 5120, 8560, 8560, 20},
    {"retnet_65b", FAMILY_TORCHSCALE, 64, 8192, 13824, 13824, 32},
    {"retnet_1b3", FAMILY_PAPER, 24, 2048, 4096, 4096, 8},
    {"retnet_2b7", FAMILY_PAPER, 32, 2560, 5120, 5120, 10},
    {"retnet_6b7", FAMILY_PAPER, 32, 4096, 8192, 8192, 16},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

static rn_status fail_unknown(rn_err *err, const char *name) {
  char names[512] = "";
  size_t used = 0;
  for (int i = 0; i < PRESETS; i++) {
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                             presets[i].name);
  }
  return rn_fail(err, RN_ERR_USAGE, "model.preset: unknown preset \"%s\"; the presets are %s", name,
                 names);
}

#define GIVE(key, value) (out->has_##key = true, out->key = (value))

static void give_family(family which, Retnet__Model *out) {
  if (which == FAMILY_TORCHSCALE) {
    GIVE(activation, RETNET__ACTIVATION__ACTIVATION_SWISH);
    GIVE(scale_embedding, true);
    return;
  }
  GIVE(decay, RETNET__DECAY__DECAY_PAPER);
  GIVE(head_norm, RETNET__HEAD_NORM__HEAD_NORM_GROUP);
  GIVE(block_norm, RETNET__BLOCK_NORM__BLOCK_NORM_LAYER);
  GIVE(ffn, RETNET__FFN__FFN_MLP);
  GIVE(activation, RETNET__ACTIVATION__ACTIVATION_GELU);
}

rn_status rn_preset_keys(rn_err *err, const char *name, Retnet__Model *out) {
  const preset *found = NULL;
  for (int i = 0; i < PRESETS; i++) {
    if (strcmp(presets[i].name, name) == 0) found = &presets[i];
  }
  if (found == NULL) return fail_unknown(err, name);
  retnet__model__init(out);
  GIVE(layers, found->layers);
  GIVE(dim, found->dim);
  GIVE(value_dim, found->value_dim);
  GIVE(ffn_dim, found->ffn_dim);
  GIVE(heads, found->heads);
  GIVE(chunk, 512);
  give_family(found->family, out);
  return RN_OK;
}
