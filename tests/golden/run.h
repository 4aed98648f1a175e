/**
 * What all runs need in the precision at hand: arrays in and out, and a model of one stage.
 *
 * Compiled twice; each kind of case has one run per precision, golden_run_<kind>_f32 and _f64.
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

/** An input in the precision at hand; kept by the case. */
rn_status golden_reals(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                       rn_real **out);

/** As golden_compare, for a quantity in the precision at hand. */
rn_status golden_check(rn_err *err, golden_case *c, const char *variant, const rn_real *got,
                       golden_shape shape, const char *base, ...)
    __attribute__((format(printf, 6, 7)));
rn_status golden_check_number(rn_err *err, golden_case *c, const char *variant, double got,
                              const char *base);

/**
 * A canonical state [B, H, K, V] against the official one, S / sqrt(s) as [B, H, V, K], and the
 * scales s [H].
 */
rn_status golden_check_state(rn_err *err, golden_case *c, const char *variant, const rn_spec *spec,
                             int sequences, const rn_real *state, const double *scale,
                             const char *state_base, const char *scale_base);

/** [B, X, Y, W] -> [B, Y, X, W]. */
void golden_swap(int64_t b, int64_t x, int64_t y, int64_t w, const rn_real *in, rn_real *out);

/** Their name of one of our tensors. */
typedef void (*golden_rename)(const char *ours, char *theirs, size_t bytes);

/** All tensors of the table from arrays `prefix` + their name; one too many or few is an error. */
rn_status golden_params(rn_err *err, golden_case *c, const rn_param_table *table,
                        const char *prefix, golden_rename rename, rn_real **out);

/** Values [total] laid out as the parameters, each tensor against `prefix` + their name. */
rn_status golden_check_params(rn_err *err, golden_case *c, const char *variant,
                              const rn_param_table *table, const rn_real *values,
                              const char *prefix, golden_rename rename);

/** A whole model and one unit's worth of sequences. */
typedef struct golden_model {
  rn_spec spec;
  int sequences, tokens;
  rn_layer_stack *stage;
  rn_activations *activations;
  rn_local_state *local_state;
  const rn_param_table *table;
  rn_real *params; /* the caller's */
  rn_real *gradient, *y, *dy;
  rn_grad_accumulator accumulator;
  const int32_t *since; /* [B, T]: doc_position of packed documents; NULL: one document */
  int32_t *doc_position;
  int64_t *numbers;
  rn_unit unit;
} golden_model;

/** Ownership: the caller closes, after an error too. Errors: the spec's, memory. */
rn_status golden_model_open(rn_err *err, golden_case *c, const rn_spec *spec, int sequences,
                            int tokens, rn_real *params, golden_model *out);
void golden_model_close(golden_model *m);

/** Forward of tokens first .. first + count - 1 of rows `input` [B, ld]; y is [B, count, D]. */
rn_status golden_model_forward(rn_err *err, golden_model *m, rn_form form, const int32_t *input,
                               int ld, int first, int count);

/** Mean loss of the forward before, against targets [B, T]; with `backward` the gradient too. */
rn_status golden_model_loss(rn_err *err, golden_model *m, const int32_t *target, bool backward,
                            double *loss);

/** Whole sequences [B, T] from zero states: forward, loss, and with `backward` the gradient. */
rn_status golden_model_step(rn_err *err, golden_model *m, rn_form form, const int32_t *input,
                            const int32_t *target, bool backward, double *loss);

/** Logits of the forward before, as [B, count, N]. */
rn_status golden_check_logits(rn_err *err, golden_case *c, golden_model *m, const char *variant,
                              const char *base);

/** s [H] of every head after `steps` tokens, from the scale 1 / sqrt(s) that the model gives the
 * last. */
rn_status golden_scales_after(rn_err *err, golden_case *c, const rn_spec *spec, int steps,
                              double *scale);

/** decode.* and generate.* of a model case; the spec is the canonical one. */
rn_status golden_check_decode(rn_err *err, golden_case *c, const rn_spec *spec, rn_real *params,
                              const int32_t *input, int sequences, int tokens);

#endif
