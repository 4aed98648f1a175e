/* Chooses the sizes of the measured steps of a plan. */
#include "proto/base/range.h"
#include "trainer/estimate/plan_sample.h"

/*
 * Above MAX_ROWS, the time is proportional to the number of rows, so more rows are not needed.
 * Sizes are not reduced below the MIN_ values: costs that do not depend on the size would then be a
 * large part of the time, and they would wrongly be scaled with it.
 */
enum { MAX_ROWS = 2048, FEW_ROWS = 512, MIN_ROWS = 128 };
enum { SMALL_VOCAB = 1024, MIN_VOCAB = 256, SMALL_DIM = 512, MIN_WIDTH = 256 };
/*
 * STEPS_OF_ONE and STEPS_OF_THREE are the numbers of steps of the models with one and with three
 * layers. STEPS_OF_THREE includes the steps that measure the matrix products.
 */
enum { STEPS_OF_ONE = 5, STEPS_OF_THREE = 9, LAYERS_OF_THREE = 3 };

static double rows_of(const rn_plan_sizes *s) {
  return (double)s->tokens * s->sequences;
}

static double flops_of(const rn_plan_sizes *s) {
  const double layer = rn_spec_layer_flops(&s->spec), head = rn_spec_head_flops(&s->spec);
  const double steps =
      STEPS_OF_ONE * (layer + head) + STEPS_OF_THREE * (LAYERS_OF_THREE * layer + head);
  return 3 * steps * rows_of(s); /* backward costs twice as much as forward */
}

/* Returns the bytes of the weights, gradients and moments of the larger measured model, which has
 * three layers, plus those of its exact gradient sums if `exact`, otherwise of its bf16 shadow. */
static double bytes_of_weights(const rn_plan_sizes *s, bool exact) {
  rn_spec three = s->spec;
  three.layers = LAYERS_OF_THREE;
  return (exact ? 28 : 18) * (double)rn_spec_parameters(&three);
}

/* Returns an upper bound on the bytes of the saved activations, states and logits of the larger
 * measured model, which has three layers. */
static double bytes_of_rows(const rn_plan_sizes *s) {
  const rn_spec *p = &s->spec;
  const double widths = 12.0 * p->dim + 8.0 * p->value_dim + 4.0 * p->ffn_dim;
  const double states =
      s->sequences * ((double)s->tokens / p->chunk + 8) * p->dim * rn_spec_value_width(p);
  return 4 * (rows_of(s) * (LAYERS_OF_THREE * widths + 2.0 * p->vocab) + LAYERS_OF_THREE * states);
}

static int halved(int n, int min) {
  return n / 2 > min ? n / 2 : n < min ? n : min;
}

/*
 * Halves the number of heads, or the width if there is only one head. Returns false if the model is
 * already small.
 */
static bool narrow(rn_spec *spec) {
  const int heads = spec->heads / 2;
  const bool small =
      spec->dim <= MIN_WIDTH && spec->value_dim <= 2 * MIN_WIDTH && spec->ffn_dim <= 2 * MIN_WIDTH;
  if (small) return false;
  if (heads >= 1) {
    spec->dim = rn_spec_key_width(spec) * heads;
    spec->value_dim = rn_spec_value_width(spec) * heads;
    spec->ffn_dim = halved(spec->ffn_dim, 1);
    spec->heads = heads;
  } else {
    spec->dim = halved(spec->dim, MIN_WIDTH) / 2 * 2; /* the width of a key must be even */
    spec->value_dim = halved(spec->value_dim, MIN_WIDTH);
    spec->ffn_dim = halved(spec->ffn_dim, MIN_WIDTH);
  }
  return true;
}

static void limit_rows(int rows, rn_plan_sizes *s) {
  s->tokens = (int)rn_smaller(s->tokens, rows);
  s->sequences = (int)rn_smaller(s->sequences, (rows + s->tokens - 1) / s->tokens);
  s->spec.flop_tokens = s->tokens;
}

/*
 * Halves one size: the vocabulary while the head costs more than a quarter of a layer, since the
 * head is a small part of most models; then the number of rows while it is large, or the widths if
 * weights use most of the memory; then any size that can still be halved. Returns false if no size
 * can be halved.
 */
static bool reduce(rn_plan_sizes *s, bool weights_are_large) {
  const double rows = rows_of(s);
  const bool wide = s->spec.dim > SMALL_DIM;
  if (s->spec.vocab > SMALL_VOCAB &&
      4 * rn_spec_head_flops(&s->spec) > rn_spec_layer_flops(&s->spec)) {
    s->spec.vocab /= 2;
    return true;
  }
  if (wide && (weights_are_large || rows <= FEW_ROWS) && narrow(&s->spec)) return true;
  if (rows > (wide ? FEW_ROWS : MIN_ROWS) && !weights_are_large) {
    limit_rows((int)(rows / 2), s);
    return true;
  }
  if (narrow(&s->spec)) return true;
  if (s->spec.vocab <= MIN_VOCAB) return false;
  s->spec.vocab /= 2;
  return true;
}

rn_plan_sizes rn_plan_sizes_within(const rn_spec *spec, int tokens, int sequences, bool exact,
                                   double flops, double bytes) {
  rn_plan_sizes s = {.spec = *spec, .tokens = tokens, .sequences = sequences};
  limit_rows(MAX_ROWS, &s);
  for (bool more = true; more;) {
    const double weights = bytes_of_weights(&s, exact), all = weights + bytes_of_rows(&s);
    if (flops_of(&s) <= flops && all <= bytes) break;
    more = reduce(&s, all > bytes && 2 * weights > all);
  }
  return s;
}
