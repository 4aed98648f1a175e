/** Saves checkpoints of small models with any configuration, for tests of tools that read
 * checkpoints. */
#ifndef RN_TESTS_SUPPORT_MODEL_CKPT_H
#define RN_TESTS_SUPPORT_MODEL_CKPT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"

/** Configuration keys of a model of a few hundred weights; its vocabulary has 13 tokens. */
#define MODEL_CKPT_SMALL "model.dim=16", "model.value_dim=8", "model.ffn_dim=4"

typedef struct model_ckpt {
  const char *keys[12]; /* values of option -s; ends with NULL */
  int64_t step;
  int parts;
  float nudge; /* added to the last weight */
  bool threads_set;
  int64_t saved_unix_s; /* 0: absent, as in older checkpoints */
} model_ckpt;

/**
 * Saves a checkpoint with weights and moments. Returns the run directory, a subdirectory of the
 * test's temporary folder.
 */
const char *model_ckpt_save(const char *name, model_ckpt recipe);

#endif
