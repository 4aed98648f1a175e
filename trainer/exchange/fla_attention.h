/** Converts the description of a hybrid model's attention layers to and from `attn` in the
 * config.json of flash-linear-attention. */
#ifndef RN_TRAINER_EXCHANGE_FLA_ATTENTION_H
#define RN_TRAINER_EXCHANGE_FLA_ATTENTION_H

#include "model/spec/spec.h"
#include "trainer/exchange/json_fields.h"

/** Returns the object `attn` with layers (counted from 0), numbers of heads, window and base of the
 * rotation, or JSON null for a model without attention layers. Returns NULL if out of memory. */
json_t *rn_fla_attention_describe(const rn_spec *spec);

/**
 * Sets the keys of the model's attention layers.
 *
 * Accepts an object, and a list of objects that differ only in their layers.
 * Errors: RN_ERR_FORMAT, RN_ERR_MISMATCH, naming file and key.
 */
rn_status rn_fla_attention_read(rn_err *err, const rn_json_fields *config, Retnet__Config *out);

#endif
