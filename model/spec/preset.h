/** Defines the models that model.preset can name: torchscale's retnet_base .. retnet_65b and the
 * three sizes of the paper. */
#ifndef RN_MODEL_SPEC_PRESET_H
#define RN_MODEL_SPEC_PRESET_H

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Sets *out to the keys that a preset sets. They are marked as given, as if the config contained
 * them; all other keys are absent.
 * Source: torchscale examples/fairseq/models/retnet.py; RetNet (arXiv 2307.08621) tables 2 and 7.
 * Errors: RN_ERR_USAGE naming model.preset and the known names.
 */
rn_status rn_preset_keys(rn_err *err, const char *name, Retnet__Model *out);

#endif
