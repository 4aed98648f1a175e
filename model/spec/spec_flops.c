/* Computes numbers that follow from a spec: decays, rotation angles, FLOPs, number of weights. */
#include <math.h>

#include "model/spec/spec.h"

double rn_spec_residual(const rn_spec *spec) {
  return spec->deepnorm ? pow(2.0 * spec->layers, 0.25) : 1.0;
}

/* Returns the slope of head h of n heads. If n is not a power of two, ALiBi takes the p slopes of a
 * model with p heads, where p is the largest power of two below n, followed by every second slope
 * of a model with 2 p heads. */
static double alibi_slope(int h, int n) {
  int power = 1;
  while (power <= n / 2) power *= 2;
  return h < power ? exp2(-8.0 * (h + 1) / power) : exp2(-4.0 * (2 * (h - power) + 1) / power);
}

/* Returns log gamma of head h of a layer. eq8 uses log1p, which is accurate for every h; log(1 - x)
 * in fp32 would be 0 for h >= 20. */
static double log_decay_of(const rn_spec *spec, int layer, int h) {
  switch (spec->decay) {
    case RN_DECAY_EQ8:
      return log1p(-ldexp(1.0, -5 - h));
    case RN_DECAY_PAPER: {
      double share = spec->heads > 1 ? (double)h / (spec->heads - 1) : 0.0;
      return log1p(-exp2(-5.0 - 4.0 * share));
    }
    case RN_DECAY_SINGLE:
      return log1p(-1.0 / 128);
    case RN_DECAY_LIGHTNING: {
      const int steps = spec->layers > 1 ? spec->layers - 1 : 1;
      return -alibi_slope(h, spec->heads) * (1 - (double)(layer - 1) / steps + 1e-5);
    }
    case RN_DECAY_NONE:
      break;
  }
  return 0.0;
}

void rn_spec_log_decay(const rn_spec *spec, int layer, double *log_gamma) {
  for (int h = 0; h < spec->heads; h++) log_gamma[h] = log_decay_of(spec, layer, h);
}

void rn_spec_angles(rn_rotary rotary, int key_width, double *theta) {
  int half_dim = key_width / 2;
  for (int j = 0; j < half_dim; j++) {
    double exponent = rotary == RN_ROTARY_ROPE_HALF ? 2.0 * j / key_width
                      : half_dim > 1                ? (double)j / (half_dim - 1)
                                                    : 0.0;
    theta[j] = rotary == RN_ROTARY_NONE ? 0.0 : pow(10000.0, -exponent);
  }
}

void rn_spec_rope_angles(double base, int key_width, double *theta) {
  for (int j = 0; j < key_width / 2; j++) theta[j] = pow(base, -2.0 * j / key_width);
}

static double ffn_weights(const rn_spec *spec) {
  return (spec->ffn == RN_FFN_GLU ? 3.0 : 2.0) * spec->dim * spec->ffn_dim;
}

static double retention_weights(const rn_spec *spec) {
  const double dim = spec->dim, value_dim = spec->value_dim;
  return 2 * dim * dim + (spec->gate ? 3 : 2) * dim * value_dim;
}

static double attention_weights(const rn_spec *spec) {
  const double dim = spec->dim;
  return 2 * dim * dim + 2 * dim * spec->kv_heads * rn_spec_attention_width(spec);
}

/* Returns the average number of keys that a token sees. */
static double mean_visible_keys(const rn_spec *spec) {
  const double T = spec->flop_tokens, w = spec->attention_window;
  if (w == 0 || w >= T) return (T + 1) / 2;
  return w - w * (w - 1) / (2 * T);
}

enum {
  PASSES = 3
}; /* three computations of equal cost: forward, gradient of the input, gradient of the weights */

static double retention_flops(const rn_spec *spec) {
  enum { COUNTED_CHUNK = 128 };
  double dim = spec->dim, value_dim = spec->value_dim;
  double inner = COUNTED_CHUNK * (dim + value_dim);
  double states = 4 * dim * value_dim / spec->heads;
  return 2 * retention_weights(spec) + inner + states;
}

static double attention_flops(const rn_spec *spec) {
  return 2 * attention_weights(spec) + 4.0 * spec->dim * mean_visible_keys(spec);
}

double rn_spec_layer_flops(const rn_spec *spec) {
  const int attending = rn_spec_attention_layers(spec, 0, spec->layers);
  const double share = (double)attending / spec->layers;
  double block = 0;
  if (attending < spec->layers) block += (1 - share) * retention_flops(spec);
  if (attending > 0) block += share * attention_flops(spec);
  return PASSES * (2 * ffn_weights(spec) + block);
}

double rn_spec_flops_of_layer(const rn_spec *spec, int layer) {
  const bool attends = rn_spec_attends(spec, layer);
  return PASSES * (2 * ffn_weights(spec) + (attends ? attention_flops : retention_flops)(spec));
}

double rn_spec_embedding_flops(const rn_spec *spec) {
  return PASSES * (double)spec->dim;
}

double rn_spec_head_flops(const rn_spec *spec) {
  return PASSES * (2.0 * spec->dim * spec->vocab);
}

double rn_spec_flops_per_token(const rn_spec *spec) {
  return spec->layers * rn_spec_layer_flops(spec) + rn_spec_head_flops(spec);
}

int64_t rn_spec_parameters(const rn_spec *spec) {
  int64_t norm = (int64_t)spec->dim * (spec->block_norm == RN_BLOCK_NORM_LAYER ? 2 : 1);
  int64_t head_norm = spec->head_norm == RN_HEAD_NORM_RMS_AFFINE ? rn_spec_value_width(spec) : 0;
  const int attending = rn_spec_attention_layers(spec, 0, spec->layers);
  int64_t blocks = spec->layers * ((int64_t)ffn_weights(spec) + 2 * norm);
  blocks += (spec->layers - attending) * ((int64_t)retention_weights(spec) + head_norm);
  if (attending > 0) blocks += attending * (int64_t)attention_weights(spec);
  int64_t vocabulary = (int64_t)spec->vocab * spec->dim;
  return blocks + vocabulary * (spec->tie_embeddings ? 1 : 2) + (spec->embedding_norm ? norm : 0) +
         (spec->pre_norm ? norm : 0);
}
