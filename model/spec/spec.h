/** The model specification contains the sizes and options of a model. It does not depend on the
 * ranks or the hardware. */
#ifndef RN_MODEL_SPEC_SPEC_H
#define RN_MODEL_SPEC_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

typedef enum { RN_ARCH_RETNET, RN_ARCH_TRANSFORMER } rn_arch;
typedef enum {
  RN_DECAY_EQ8,
  RN_DECAY_PAPER,
  RN_DECAY_SINGLE,
  RN_DECAY_NONE,
  RN_DECAY_LIGHTNING
} rn_decay;
typedef enum { RN_ROTARY_TORCHSCALE, RN_ROTARY_ROPE_HALF, RN_ROTARY_NONE } rn_rotary;
typedef enum {
  RN_HEAD_NORM_RMS,
  RN_HEAD_NORM_RMS_AFFINE,
  RN_HEAD_NORM_GROUP,
  RN_HEAD_NORM_NONE
} rn_head_norm;
typedef enum { RN_BLOCK_NORM_RMS, RN_BLOCK_NORM_LAYER } rn_block_norm;
typedef enum { RN_FFN_GLU, RN_FFN_MLP } rn_ffn;
typedef enum { RN_ACTIVATION_SWISH, RN_ACTIVATION_GELU } rn_activation;
typedef enum {
  RN_SCALE_CANONICAL,
  RN_SCALE_TS_PARALLEL,
  RN_SCALE_TS_CHUNKWISE,
  RN_SCALE_RAW
} rn_retention_scale;
typedef enum { RN_INIT_TORCHSCALE, RN_INIT_NORMAL002 } rn_init_rule;

/** The three equivalent forms of retention (model/retention/retention.h). */
typedef enum { RN_FORM_CHUNKWISE, RN_FORM_PARALLEL, RN_FORM_RECURRENT } rn_form;

/** Number of tokens in a block of queries and in a block of keys of attention
 * (model/attention/attention.h). If a sequence is cut into segments, the blocks (and thus the bits
 * of results) stay the same under two conditions: the cuts are at multiples of RN_SPEC_QUERY_BLOCK
 * tokens, and the first key that a segment receives from earlier segments is at a multiple of
 * RN_SPEC_KEY_BLOCK. */
enum { RN_SPEC_QUERY_BLOCK = 128, RN_SPEC_KEY_BLOCK = 256 };

/** model.attention_layers can list layers 0 .. RN_SPEC_LISTED_LAYERS - 1. */
enum { RN_SPEC_LISTED_LAYERS = 1024 };

/** A model specification. Shapes are written with these letters: D = dim = H K, value_dim = H V, F
 * = ffn_dim, N = vocab. H is the number of heads of retention layers; attention layers have
 * attention_heads heads. */
typedef struct rn_spec {
  rn_arch arch;
  int layers, dim, value_dim, ffn_dim, heads, vocab;
  rn_decay decay;
  rn_rotary rotary;
  rn_head_norm head_norm;
  rn_block_norm block_norm;
  rn_ffn ffn;
  rn_activation activation;
  rn_retention_scale retention_scale;
  rn_init_rule init;
  bool gate, pre_norm, deepnorm, embedding_norm, tie_embeddings, scale_embedding;
  double norm_eps;
  double dropout;
  int chunk; /* tokens per chunk of the chunkwise form; > 0 after rn_spec_from_config */
  /* attention layers; the numbers of heads are > 0 after rn_spec_from_config */
  int attention_heads, kv_heads;
  int attention_window; /* 0: none */
  double rope_theta;
  uint64_t attention_layers[RN_SPEC_LISTED_LAYERS / 64]; /* bit l: layer l attends */
  int flop_tokens; /* sequence length for which the FLOPs of attention are counted */
} rn_spec;

/**
 * Makes a spec from a config: takes the values of the preset and overrides them with the keys that
 * are given.
 *
 * If model.vocab is 0, replaces it by `data_vocab`; if model.chunk is 0, replaces it by a value
 * that depends only on the other keys.
 * Errors: RN_ERR_USAGE naming the key (heads not dividing dim, odd key width, value_dim not
 *         divisible by heads, vocabulary smaller than the data's, chunk 0 with ts_chunkwise, whose
 *         results depend on it).
 */
rn_status rn_spec_from_config(rn_err *err, const Retnet__Config *config, int data_vocab,
                              rn_spec *out);

/** Writes the values of the spec to config->model, which must exist, and marks all keys as
 * given. */
void rn_spec_give_keys(const rn_spec *spec, Retnet__Config *config);

/** Checks a spec that was not made by rn_spec_from_config. Errors: the same as for
 * rn_spec_from_config. */
rn_status rn_spec_check(rn_err *err, const rn_spec *spec);

/** Returns true if layer `layer` of the model is an attention layer: softmax attention replaces
 * retention. */
static inline bool rn_spec_attends(const rn_spec *spec, int layer) {
  if (spec->arch == RN_ARCH_TRANSFORMER) return true;
  return layer < RN_SPEC_LISTED_LAYERS &&
         (spec->attention_layers[layer / 64] >> layer % 64 & 1) != 0;
}

/** Returns the number of attention layers among layers first .. last - 1. */
int rn_spec_attention_layers(const rn_spec *spec, int first, int last);

/** Adapts a spec whose width has been reduced. In a transformer, reduces the numbers of heads so
 * that the new width can be divided into them, and resets value_dim to its default. In other
 * models, replaces all attention layers by retention layers. */
void rn_spec_fit_attention(rn_spec *spec);

/** Returns the key and value width of a head of attention layers. */
static inline int rn_spec_attention_width(const rn_spec *spec) {
  return spec->dim / spec->attention_heads;
}

/** Returns K, the key width of a head. */
static inline int rn_spec_key_width(const rn_spec *spec) {
  return spec->dim / spec->heads;
}

/** Returns V, the value width of a head. */
static inline int rn_spec_value_width(const rn_spec *spec) {
  return spec->value_dim / spec->heads;
}

/** Returns the factor by which a sublayer multiplies its residual input: (2 L)^(1/4) with deepnorm
 * (RetNet's DeepNet initialization), else 1. */
double rn_spec_residual(const rn_spec *spec);

/** True if layers have different decays. */
static inline bool rn_spec_decay_varies(const rn_spec *spec) {
  return spec->decay == RN_DECAY_LIGHTNING;
}

/**
 * Computes log gamma_h of every head of a layer (0 .. L-1), in double.
 *
 * Source: RetNet eq. 8 and section 3.1 (paper). lightning: log gamma_h = -s_h (1 - (l-1)/(L-1) +
 *         1e-5), BailingMoeV2.5 (Ling and Ring 2.5) modeling_bailing_moe_v2_5.py; s_h are the
 *         slopes of ALiBi (arXiv 2108.12409), as in Lightning Attention-2 (arXiv 2401.04658).
 */
void rn_spec_log_decay(const rn_spec *spec, int layer, double *log_gamma /* [H] */);

/** Computes the rotation angles theta_j, j < K/2, of retention layers. Source: torchscale xPos;
 * RoPE for rope_half. */
void rn_spec_angles(rn_rotary rotary, int key_width, double *theta /* [K/2] */);

/** Computes the rotation angles of attention layers, theta_j = base^(-2j/K). Source: RoFormer
 * (arXiv 2104.09864). */
void rn_spec_rope_angles(double base, int key_width, double *theta /* [K/2] */);

/**
 * Returns the model FLOPs of one token, forward and backward: three times the forward of layers and
 * head. For retention, counts chunks of 128 tokens and only the causal half of the scores, whatever
 * the kernels compute. For attention, counts the average number of keys that a token sees in a
 * sequence of one document.
 */
double rn_spec_flops_per_token(const rn_spec *spec);

/** Returns the FLOPs of a layer for one token, averaged over all layers. */
double rn_spec_layer_flops(const rn_spec *spec);
/** Returns the FLOPs of layer `layer` for one token. */
double rn_spec_flops_of_layer(const rn_spec *spec, int layer);
/** Returns the FLOPs of the head for one token. */
double rn_spec_head_flops(const rn_spec *spec);
/** Returns the FLOPs of the embedding for one token; rn_spec_flops_per_token does not include
 * them. */
double rn_spec_embedding_flops(const rn_spec *spec);

/** Returns the number of weights; a tied embedding counts once. */
int64_t rn_spec_parameters(const rn_spec *spec);

#endif
