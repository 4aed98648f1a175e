/** Processes the keys of softmax attention: model.arch, model.attention_layers and others. */
#ifndef RN_MODEL_SPEC_SPEC_ATTENTION_H
#define RN_MODEL_SPEC_SPEC_ATTENTION_H

#include "model/spec/spec.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Stores the list of attention layers in the spec, and replaces numbers of heads that are 0 by
 * their defaults. In a transformer, sets the keys that only retention reads to their defaults in
 * the schema.
 *
 * Errors: RN_ERR_USAGE naming the key, for a layer that is listed twice or does not exist, for a
 *         list with arch transformer, and for a key that has no effect in this model but is not at
 *         its default (a key of retention in a transformer, or a key of attention in a model
 *         without attention layers).
 */
rn_status rn_spec_take_attention(rn_err *err, const Retnet__Model *model, rn_spec *spec);

/**
 * Replaces numbers of heads that are 0 by their defaults, and sorts the list of attention layers.
 * Two configurations of the same model then have the same values.
 */
void rn_spec_settle_attention(Retnet__Model *model);

/** Prepares a preset before it is applied to `model`: if the model is a transformer, marks the keys
 * that only retention reads as not given. */
void rn_spec_fit_preset(const Retnet__Model *model, Retnet__Model *preset);

/** Checks the heads of attention layers. Errors: RN_ERR_USAGE naming the key. */
rn_status rn_spec_check_attention(rn_err *err, const rn_spec *spec);

#endif
