/** From a case's config (torchscale's keys) to the spec of our model. */
#ifndef RN_TESTS_GOLDEN_SPEC_H
#define RN_TESTS_GOLDEN_SPEC_H

#include "model/spec/spec.h"
#include "tests/golden/golden.h"

/** Sizes, chunk and eps of one retention layer. */
rn_status golden_read_layer(rn_err *err, const golden_case *c, rn_spec *spec);

/** True if the case's config contains keys of this program, in config.run_config.model. */
bool golden_has_own_config(const golden_case *c);
/** The spec of config.run_config.model; other keys have the schema's defaults. */
rn_status golden_read_own(rn_err *err, const golden_case *c, rn_spec *spec);

/** All of a model, from our own keys or torchscale's. */
rn_status golden_read_model(rn_err *err, const golden_case *c, rn_spec *spec);

rn_status golden_read_activation(rn_err *err, const golden_case *c, const char *key,
                                 rn_activation *out);

/** The scale and the form of the core that give an official form: parallel, chunkwise, recurrent.
 */
rn_status golden_scale_of(rn_err *err, const golden_case *c, const char *form, rn_spec *spec,
                          rn_form *out);

#endif
