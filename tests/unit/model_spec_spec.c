/* Checks that a spec follows from the keys: presets and their sizes, overrides, tables. Errors
 * must name the key. */
#include <math.h>
#include <stdio.h>

#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "model/spec/spec_attention.h"
#include "tests/support/check.h"

static rn_spec preset(const char *name, int vocab) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Model model = RETNET__MODEL__INIT;
  char text[32];
  snprintf(text, sizeof text, "%s", name);
  config.model = &model;
  model.preset = text;
  rn_err err = {0};
  rn_spec spec = {0};
  CHECK_OK(&err, rn_spec_from_config(&err, &config, vocab, &spec));
  return spec;
}

/* Sizes in millions, with as many digits as the official configurations state. */
static void presets_have_their_sizes(void) {
  static const struct {
    const char *name;
    double bare, whole, unit;
  } sizes[] = {{"retnet_base", 19.1, 70.5, 0.1},   {"retnet_medium", 203.5, 306.4, 0.1},
               {"retnet_xl", 1220.6, 1426.5, 0.1}, {"retnet_3b", 2523.3, 2780.6, 0.1},
               {"retnet_7b", 6509.8, 6921.5, 0.1}, {"retnet_13b", 12620, 13130, 10},
               {"retnet_65b", 52080, 52900, 10}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    rn_spec spec = preset(sizes[i].name, 50257);
    double whole = (double)rn_spec_parameters(&spec);
    double bare = whole - 2.0 * spec.vocab * spec.dim;
    CHECK(fabs(whole / 1e6 - sizes[i].whole) <= 0.51 * sizes[i].unit);
    CHECK(fabs(bare / 1e6 - sizes[i].bare) <= 0.51 * sizes[i].unit);
    CHECK_EQUAL(spec.chunk, 512);
    CHECK(spec.scale_embedding && spec.activation == RN_ACTIVATION_SWISH);
  }
  rn_spec paper = preset("retnet_6b7", 50257);
  CHECK(fabs((double)rn_spec_parameters(&paper) / 6.7e9 - 1) < 0.05);
  CHECK_EQUAL(rn_spec_key_width(&paper), 256);
  CHECK_EQUAL(rn_spec_value_width(&paper), 512);
  CHECK(paper.decay == RN_DECAY_PAPER);
}

static void the_table_holds_what_the_spec_counts(void) {
  rn_err err = {0};
  for (int variant = 0; variant < 64; variant++) {
    rn_spec spec = preset("retnet_base", 97);
    spec.layers = 3;
    spec.tie_embeddings = variant & 1;
    spec.embedding_norm = variant & 2;
    spec.block_norm = variant & 4 ? RN_BLOCK_NORM_LAYER : RN_BLOCK_NORM_RMS;
    spec.pre_norm = !(variant & 8);
    spec.gate = !(variant & 16);
    spec.ffn = variant & 32 ? RN_FFN_MLP : RN_FFN_GLU;
    spec.head_norm = variant & 1 ? RN_HEAD_NORM_RMS_AFFINE : RN_HEAD_NORM_RMS;
    rn_param_table *table = NULL;
    if (!CHECK_OK(&err, rn_param_table_create(&err, &spec, 0, 3, &table))) return;
    CHECK_EQUAL(table->total, rn_spec_parameters(&spec));
    rn_param_table_destroy(&table);
  }
}

static void given_keys_win_over_the_preset(void) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Model model = RETNET__MODEL__INIT;
  rn_err err = {0};
  rn_spec spec = {0};
  char name[] = "retnet_base";
  config.model = &model;
  model.preset = name;
  model.has_layers = 1;
  model.layers = 2;
  model.has_scale_embedding = 1;
  model.scale_embedding = 0;
  CHECK_OK(&err, rn_spec_from_config(&err, &config, 257, &spec));
  CHECK_EQUAL(spec.layers, 2);
  CHECK_EQUAL(spec.dim, 512);
  CHECK(!spec.scale_embedding);
  CHECK_EQUAL(spec.vocab, 257);
}

/* Checks that the effective config, with every key set, gives the same spec when it is read
 * back. */
static void a_filled_config_reads_back(void) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Model model = RETNET__MODEL__INIT;
  rn_err err = {0};
  rn_spec spec = preset("retnet_1b3", 257), again = {0};
  config.model = &model;
  rn_spec_give_keys(&spec, &config);
  CHECK(model.has_layers && model.layers == 24 && model.chunk == 512);
  CHECK_OK(&err, rn_spec_from_config(&err, &config, 257, &again));
  CHECK_EQUAL(rn_spec_parameters(&again), rn_spec_parameters(&spec));
  CHECK(again.decay == spec.decay && again.head_norm == spec.head_norm);
  CHECK(again.block_norm == spec.block_norm && again.ffn == spec.ffn);
  CHECK(again.activation == spec.activation && again.chunk == spec.chunk);
  CHECK_NEAR(again.norm_eps, spec.norm_eps, 0);
}

/* Checks that attention keys that are not set get the numbers that their defaults stand for, and
 * that the list of attention layers is sorted. */
static void attention_keys_are_settled(void) {
  Retnet__Model model = RETNET__MODEL__INIT;
  int32_t layers[] = {3, 0, 11};
  model.heads = 8;
  model.kv_heads = 0;
  model.n_attention_layers = 3;
  model.attention_layers = layers;
  rn_spec_settle_attention(&model);
  CHECK_EQUAL(model.attention_heads, 8);
  CHECK_EQUAL(model.kv_heads, 8);
  CHECK(layers[0] == 0 && layers[1] == 3 && layers[2] == 11);
  model.attention_heads = 4;
  model.kv_heads = 2;
  rn_spec_settle_attention(&model);
  CHECK(model.attention_heads == 4 && model.kv_heads == 2);
}

static void no_section_means_the_defaults(void) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  rn_err err = {0};
  rn_spec spec = {0};
  CHECK_OK(&err, rn_spec_from_config(&err, &config, 257, &spec));
  CHECK_EQUAL(spec.layers, 4);
  CHECK_EQUAL(spec.heads, 4);
  CHECK_NEAR(spec.norm_eps, 1e-6, 0);
  CHECK(spec.chunk > 0 && spec.gate && spec.pre_norm);
}

static void bad_keys_are_named(void) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Model model;
  rn_err err = {0};
  rn_spec spec = {0};
  config.model = &model;
#define REFUSED(words, ...)                                                                 \
  do {                                                                                      \
    model = (Retnet__Model)RETNET__MODEL__INIT;                                             \
    __VA_ARGS__;                                                                            \
    CHECK_FAILS(&err, RN_ERR_USAGE, words, rn_spec_from_config(&err, &config, 257, &spec)); \
  } while (0)
  REFUSED("model.heads|3|model.dim|256", model.has_heads = 1, model.heads = 3);
  REFUSED("5 channels per head|model.heads", model.has_dim = 1, model.dim = 20);
  REFUSED("model.value_dim|510|model.heads", model.has_value_dim = 1, model.value_dim = 510);
  REFUSED("model.vocab|100|257", model.has_vocab = 1, model.vocab = 100);
  REFUSED("model.layers|0", model.has_layers = 1, model.layers = 0);
  REFUSED("model.heads|-4", model.has_heads = 1, model.heads = -4);
  REFUSED("model.chunk|ts_chunkwise", model.has_retention_scale = 1,
          model.retention_scale = RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_CHUNKWISE);
  REFUSED("model.dropout", model.has_dropout = 1, model.dropout = 1.0);
  REFUSED("model.norm_eps", model.has_norm_eps = 1, model.norm_eps = NAN);
  REFUSED("model.preset|retnet_tiny|retnet_base|retnet_6b7",
          model.preset = (char[]){"retnet_tiny"});
  int32_t layers[] = {0, 1, 1};
  REFUSED("model.decay|model.arch transformer", model.has_arch = model.has_decay = 1,
          model.arch = RETNET__ARCH__ARCH_TRANSFORMER, model.decay = RETNET__DECAY__DECAY_NONE);
  REFUSED("model.attention_heads|2|model.heads|4", model.has_arch = model.has_attention_heads = 1,
          model.arch = RETNET__ARCH__ARCH_TRANSFORMER, model.attention_heads = 2);
  REFUSED("model.attention_heads|no effect", model.has_attention_heads = 1,
          model.attention_heads = 2);
  REFUSED("model.kv_heads|no effect", model.has_kv_heads = 1, model.kv_heads = 2);
  REFUSED("model.attention_window|no effect", model.has_attention_window = 1,
          model.attention_window = 2);
  REFUSED("model.rope_theta|no effect", model.has_rope_theta = 1, model.rope_theta = 100);
  REFUSED("model.attention_layers|model.arch", model.has_arch = 1,
          model.arch = RETNET__ARCH__ARCH_TRANSFORMER, model.n_attention_layers = 1,
          model.attention_layers = layers);
  REFUSED("model.attention_layers|1|twice", model.n_attention_layers = 3,
          model.attention_layers = layers);
  REFUSED("model.attention_layers|layer 1", model.has_layers = 1, model.layers = 1,
          model.n_attention_layers = 2, model.attention_layers = layers);
  REFUSED("model.attention_heads|3|model.dim|256", model.has_attention_heads = 1,
          model.attention_heads = 3, model.n_attention_layers = 1, model.attention_layers = layers);
  REFUSED("model.kv_heads|3|model.attention_heads|4", model.has_kv_heads = 1, model.kv_heads = 3,
          model.n_attention_layers = 1, model.attention_layers = layers);
#undef REFUSED
  model = (Retnet__Model)RETNET__MODEL__INIT;
  CHECK_FAILS(&err, RN_ERR_USAGE, "model.vocab", rn_spec_from_config(&err, &config, 0, &spec));
}

static void decays_and_angles_follow_their_formulas(void) {
  rn_spec spec = preset("retnet_65b", 257);
  double log_gamma[32], theta[128];
  rn_spec_log_decay(&spec, 0, log_gamma);
  for (int h = 0; h < 32; h++) {
    CHECK(log_gamma[h] < 0);
    CHECK_NEAR(expm1(log_gamma[h]) * ldexp(1, 5 + h), -1.0, 1e-14);
  }
  spec.decay = RN_DECAY_PAPER;
  rn_spec_log_decay(&spec, 0, log_gamma);
  CHECK_NEAR(exp(log_gamma[0]), 31.0 / 32, 1e-14);
  CHECK_NEAR(exp(log_gamma[31]), 511.0 / 512, 1e-14);
  CHECK_NEAR(log(1 - exp(log_gamma[7])), log(1 / 32.) + 7 / 31. * log(1 / 16.), 1e-12);
  spec.decay = RN_DECAY_SINGLE;
  rn_spec_log_decay(&spec, 0, log_gamma);
  CHECK_NEAR(exp(log_gamma[5]), 127.0 / 128, 1e-14);
  spec.decay = RN_DECAY_NONE;
  rn_spec_log_decay(&spec, 0, log_gamma);
  CHECK(log_gamma[5] == 0);
  /* The slopes of the 32 heads go from 2^(-1/4) to 2^-8, times a factor that depends on the
   * layer. */
  spec.decay = RN_DECAY_LIGHTNING;
  for (int l = 0; l < 64; l += 21) {
    rn_spec_log_decay(&spec, l, log_gamma);
    CHECK_NEAR(-log_gamma[0] / exp2(-0.25), 1 - (l - 1) / 63. + 1e-5, 1e-14);
    CHECK_NEAR(-log_gamma[31] * 256, 1 - (l - 1) / 63. + 1e-5, 1e-14);
  }
  /* 10 heads have the slopes for 8 heads, then slopes 1 and 3 of those for 16 heads. */
  spec.heads = 10;
  rn_spec_log_decay(&spec, 1, log_gamma);
  CHECK_NEAR(-log_gamma[7] * 256, 1 + 1e-5, 1e-14);
  CHECK_NEAR(-log_gamma[8] / exp2(-0.5), 1 + 1e-5, 1e-14);
  CHECK_NEAR(-log_gamma[9] / exp2(-1.5), 1 + 1e-5, 1e-14);
  spec.layers = 1;
  rn_spec_log_decay(&spec, 0, log_gamma);
  CHECK(log_gamma[7] < 0 && log_gamma[7] > -1);
  rn_spec_angles(RN_ROTARY_TORCHSCALE, 256, theta);
  CHECK(theta[0] == 1);
  CHECK_NEAR(theta[127] * 1e4, 1.0, 1e-12);
  rn_spec_angles(RN_ROTARY_ROPE_HALF, 256, theta);
  CHECK_NEAR(theta[64], 0.01, 1e-14);
  rn_spec_angles(RN_ROTARY_TORCHSCALE, 2, theta);
  CHECK(theta[0] == 1);
}

/* Checks the number of FLOP per token, 3 * (8 layers + head), where the retention of each layer,
 * without projections, contributes 128 * (D + value_dim). */
static void model_flops_are_the_formula(void) {
  rn_spec spec = preset("retnet_base", 256);
  spec.layers = 8, spec.dim = 512, spec.value_dim = 1024, spec.ffn_dim = 1024, spec.heads = 4;
  double layer = 2. * (2. * 512 * 512 + 3. * 512 * 1024) + 6. * 512 * 1024 + 128. * (512 + 1024) +
                 4. * 512 * 1024 / 4;
  CHECK_NEAR(rn_spec_flops_per_token(&spec), 3 * (8 * layer + 2. * 512 * 256), 1e-15);
  double with = rn_spec_flops_per_token(&spec);
  spec.chunk = 7;
  CHECK_NEAR(rn_spec_flops_per_token(&spec), with, 0);
}

int main(void) {
  presets_have_their_sizes();
  the_table_holds_what_the_spec_counts();
  given_keys_win_over_the_preset();
  a_filled_config_reads_back();
  attention_keys_are_settled();
  no_section_means_the_defaults();
  bad_keys_are_named();
  decays_and_angles_follow_their_formulas();
  model_flops_are_the_formula();
  return check_result();
}
