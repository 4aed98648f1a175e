#include "trainer/plan/size_check.h"

#include <limits.h>

/*
 * Maximum number of units in a step. Each unit has up to three tasks, and an int counts the tasks
 * of all units.
 */
enum { MAX_UNITS = 1 << 28 };

/* Maximum number of bytes of one rank, so that products of sizes fit in 64 bits. */
static const double max_bytes = 0x1p50;

typedef struct size {
  double value, max;
  const char *what, *keys;
} size;

static double smaller(double a, double b) {
  return a < b ? a : b;
}

static rn_status check(rn_err *err, size s) {
  if (s.value <= s.max) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "%s: %.3g %s exceed the limit of %.3g: use smaller values",
                 s.keys, s.value, s.what, s.max);
}

/* Returns an upper bound for the number of values that a layer saves per token. */
static double widths_of(const rn_spec *spec) {
  return 8.0 * spec->dim + 8.0 * spec->value_dim + 6.0 * spec->ffn_dim;
}

rn_status rn_size_check(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                        const rn_layout *l) {
  const double length = config->data->sequence_length, batch = config->data->batch_sequences;
  const double pieces = (double)l->sequence * l->segments, share = batch / l->data + 1;
  const double tokens = smaller(length / pieces + 1 + l->reduction_block, length);
  const double units = (share / l->microbatch + 1) * l->segments;
  const double rows = l->microbatch * tokens, layers = (double)spec->layers / l->pipeline + 1;
  const double state = (double)rn_spec_key_width(spec) * spec->value_dim * l->microbatch;
  const size sizes[] = {
      {rows, INT_MAX, "tokens per unit",
       "parallel.microbatch x data.sequence_length / (parallel.sequence x parallel.segments)"},
      {(double)l->microbatch * spec->heads, INT_MAX, "heads per unit",
       "parallel.microbatch x model.heads"},
      {units, MAX_UNITS, "units per step",
       "data.batch_sequences x parallel.segments / (parallel.data x parallel.microbatch)"},
      {l->reduction_block > 0 ? batch * (length / l->reduction_block + 1) : 0, INT_MAX,
       "reduction blocks per step", "data.batch_sequences x data.sequence_length / run.leaf"},
      {16 * share * length, max_bytes, "bytes of tokens",
       "data.batch_sequences x data.sequence_length / parallel.data"},
      {16.0 * (double)rn_spec_parameters(spec), max_bytes, "bytes of weights and moments",
       "model.layers, model.dim, model.value_dim, model.ffn_dim, model.vocab"},
      {16 * layers * state * (l->segments + 1), max_bytes, "bytes of states",
       "model.dim x model.value_dim x model.layers x parallel.microbatch / model.heads"},
      {4 * rows * layers * widths_of(spec) * smaller(units, 2.0 * l->pipeline * l->segments + 1),
       max_bytes, "bytes of activations",
       "parallel.microbatch x data.sequence_length x model.layers x model.dim, model.value_dim and "
       "model.ffn_dim"}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) RN_TRY(err, check(err, sizes[i]));
  return RN_OK;
}
