/**
 * Declares functions for runs in one precision: they load and compare arrays, and compute a model
 * in one stage.
 *
 * The code is compiled twice. Each kind of case has one run per precision, golden_run_<kind>_f32
 * and golden_run_<kind>_f64.
 */
#ifndef RN_TESTS_GOLDEN_RUN_H
#define RN_TESTS_GOLDEN_RUN_H

#include "model/retention/local_state.h"
#include "model/stage/layer_stack.h"
#include "proto/base/real.h"
#include "tests/golden/golden.h"

#define GOLDEN_RUNS(X) X(core) X(rotary) X(layer) X(model) X(adamw) X(fla) X(attention)

#define GOLDEN_DECLARE(kind)                                      \
  rn_status golden_run_##kind##_f32(rn_err *err, golden_case *c); \
  rn_status golden_run_##kind##_f64(rn_err *err, golden_case *c);
GOLDEN_RUNS(GOLDEN_DECLARE)
#undef GOLDEN_DECLARE

#define golden_reals RN_NAME(golden_reals)
#define golden_check RN_NAME(golden_check)
#define golden_check_number RN_NAME(golden_check_number)
#define golden_check_state RN_NAME(golden_check_state)
#define golden_swap RN_NAME(golden_swap)
#define golden_params RN_NAME(golden_params)
#define golden_check_params RN_NAME(golden_check_params)
#define golden_model_open RN_NAME(golden_model_open)
#define golden_model_close RN_NAME(golden_model_close)
#define golden_model_forward RN_NAME(golden_model_forward)
#define golden_model_loss RN_NAME(golden_model_loss)
#define golden_model_step RN_NAME(golden_model_step)
#define golden_check_logits RN_NAME(golden_check_logits)
#define golden_scales_after RN_NAME(golden_scales_after)
#define golden_check_decode RN_NAME(golden_check_decode)
#define golden_check_decoder RN_NAME(golden_check_decoder)

/** Loads an input in this build's precision; the case owns the memory. */
rn_status golden_reals(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                       rn_real **out);

/** Does the same as golden_compare, for a quantity in this build's precision. */
rn_status golden_check(rn_err *err, golden_case *c, const char *variant, const rn_real *got,
                       golden_shape shape, const char *base, ...)
    __attribute__((format(printf, 6, 7)));
rn_status golden_check_number(rn_err *err, golden_case *c, const char *variant, double got,
                              const char *base);

/**
 * Compares a canonical state [B, H, K, V] with the official state, which is S / sqrt(s) stored as
 * [B, H, V, K]; also compares the scales s [H].
 */
rn_status golden_check_state(rn_err *err, golden_case *c, const char *variant, const rn_spec *spec,
                             int sequences, const rn_real *state, const double *scale,
                             const char *state_base, const char *scale_base);

/** Permutes `in` [B, X, Y, W] to `out` [B, Y, X, W]. */
void golden_swap(int64_t b, int64_t x, int64_t y, int64_t w, const rn_real *in, rn_real *out);

/** Converts a tensor name: writes to `theirs` the name that the file uses for tensor `ours`. */
typedef void (*golden_rename)(const char *ours, char *theirs, size_t bytes);

/**
 * Loads all tensors of the table from the arrays `prefix` + name in the file. Errors: an array is
 * missing, or has no tensor in the table.
 */
rn_status golden_params(rn_err *err, golden_case *c, const rn_param_table *table,
                        const char *prefix, golden_rename rename, rn_real **out);

/**
 * Compares `values` [total], which have the layout of the parameters, with the arrays `prefix` +
 * name.
 */
rn_status golden_check_params(rn_err *err, golden_case *c, const char *variant,
                              const rn_param_table *table, const rn_real *values,
                              const char *prefix, golden_rename rename);

/** A whole model in one stage, its buffers, and the unit of whole sequences that it processes. */
typedef struct golden_model {
  rn_spec spec;
  int sequences, tokens;
  rn_layer_stack *stage;
  rn_activations *activations;
  rn_local_state *local_state;
  const rn_param_table *table;
  rn_real *params; /* memory of the caller */
  rn_real *gradient, *y, *dy;
  rn_grad_accumulator accumulator;
  const int32_t *since; /* [B, T]: doc_position of packed documents; NULL: one document */
  int32_t *doc_position;
  int64_t *numbers;
  rn_unit unit;
} golden_model;

/**
 * Creates a model. Ownership: the caller closes it, also after an error. Errors: of
 * rn_layer_stack_create; no memory.
 */
rn_status golden_model_open(rn_err *err, golden_case *c, const rn_spec *spec, int sequences,
                            int tokens, rn_real *params, golden_model *out);
void golden_model_close(golden_model *m);

/**
 * Runs forward over tokens [first, first + count) of `input` [B, ld]; m->y is then [B, count, D].
 */
rn_status golden_model_forward(rn_err *err, golden_model *m, rn_form form, const int32_t *input,
                               int ld, int first, int count);

/**
 * Computes the mean loss of the last forward against targets [B, T]; with `backward` also the
 * gradient.
 */
rn_status golden_model_loss(rn_err *err, golden_model *m, const int32_t *target, bool backward,
                            double *loss);

/**
 * Runs whole sequences [B, T] from zero states: forward, loss, and with `backward` the gradient.
 */
rn_status golden_model_step(rn_err *err, golden_model *m, rn_form form, const int32_t *input,
                            const int32_t *target, bool backward, double *loss);

/** Compares the logits of the last forward, as [B, count, N]. */
rn_status golden_check_logits(rn_err *err, golden_case *c, golden_model *m, const char *variant,
                              const char *base);

/**
 * Returns the scale s [H] after `steps` tokens, computed from the factor 1 / sqrt(s) that the model
 * applies to the last token.
 */
rn_status golden_scales_after(rn_err *err, golden_case *c, const rn_spec *spec, int steps,
                              double *scale);

/**
 * Checks the arrays decode.* and generate.* of a model case; `spec` must have the canonical scale.
 */
rn_status golden_check_decode(rn_err *err, golden_case *c, const rn_spec *spec, rn_real *params,
                              const int32_t *input, int sequences, int tokens);

/**
 * Checks the decoder against the arrays decode.* and generate.* of a case with attention layers,
 * and also the keys and values that the decoder holds.
 */
rn_status golden_check_decoder(rn_err *err, golden_case *c, const rn_spec *spec, rn_real *params,
                               const int32_t *input, int sequences, int tokens);

#endif
