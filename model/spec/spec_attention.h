/** The keys of softmax attention: model.arch transformer, model.attention_layers and others. */
#ifndef RN_MODEL_SPEC_SPEC_ATTENTION_H
#define RN_MODEL_SPEC_SPEC_ATTENTION_H

#include "model/spec/spec.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Stores the list of attention layers in the spec, and replaces numbers of heads that are 0 by
 * their defaults. In a transformer, keys that only retention reads get the defaults of the schema.
 *
 * Errors: RN_ERR_USAGE naming the key: a layer that is listed twice or that the model does not
 *         have, a list together with arch transformer, or a key of retention that is set to another
 *         value than its default in a transformer.
 */
rn_status rn_spec_take_attention(rn_err *err, const Retnet__Model *model, rn_spec *spec);

/** Makes the keys of a preset not given that only retention reads, if `model`, to which the preset
 * is applied, is a transformer. */
void rn_spec_fit_preset(const Retnet__Model *model, Retnet__Model *preset);

/** Checks the heads of attention layers. Errors: RN_ERR_USAGE naming the key. */
rn_status rn_spec_check_attention(rn_err *err, const rn_spec *spec);

#endif
