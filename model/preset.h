/** The named models: torchscale's retnet_base .. retnet_65b and the paper's three sizes. */
#ifndef RN_MODEL_PRESET_H
#define RN_MODEL_PRESET_H

#include "model/spec.h"

/**
 * Sets in `spec` what the preset decides, leaves the rest.
 * Source: torchscale examples/fairseq/models/retnet.py; RetNet (arXiv 2307.08621) tables 2 and 7.
 * Errors: RN_ERR_USAGE naming model.preset and the names there are.
 */
rn_status rn_preset_apply(rn_err *err, const char *name, rn_spec *spec);

#endif
