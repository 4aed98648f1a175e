/** Derives the spec of a model from the config of a case. */
#ifndef RN_TESTS_GOLDEN_SPEC_H
#define RN_TESTS_GOLDEN_SPEC_H

#include "model/spec/spec.h"
#include "tests/golden/golden.h"

/** Reads sizes, chunk and eps of one retention layer from torchscale's keys. */
rn_status golden_read_layer(rn_err *err, const golden_case *c, rn_spec *spec);

/** True if the case's config contains keys of this program, in config.run_config.model. */
bool golden_has_own_config(const golden_case *c);
/**
 * Reads the spec from config.run_config.model; keys that are absent there have the schema's
 * defaults.
 */
rn_status golden_read_own(rn_err *err, const golden_case *c, rn_spec *spec);

/** Reads the spec of a whole model, from this program's keys or else from torchscale's. */
rn_status golden_read_model(rn_err *err, const golden_case *c, rn_spec *spec);

rn_status golden_read_activation(rn_err *err, const golden_case *c, const char *key,
                                 rn_activation *out);

/**
 * Sets the retention scale and the form of retention that reproduce an official form: "parallel",
 * "chunkwise" or "recurrent".
 */
rn_status golden_scale_of(rn_err *err, const golden_case *c, const char *form, rn_spec *spec,
                          rn_form *out);

#endif
