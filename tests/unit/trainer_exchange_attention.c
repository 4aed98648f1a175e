/* Checks that a transformer is exported as LlamaForCausalLM, and a hybrid as fla's
 * RetNetForCausalLM with `attn`; that both, imported and exported again, have the same bytes; and
 * that models that one of the two programs cannot compute are refused with a message that names the
 * key. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "data/exchange/safetensors.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/exchanged.h"
#include "tests/support/model_ckpt.h"
#include "tests/support/temp.h"
#include "trainer/tools/ckpt_tool.h"

static rn_err *err = &(rn_err){0};

static const rn_export_options hf = {.format = RN_EXPORT_HF, .dtype = RN_SAFETENSORS_F32};

#define LLAMA \
  "model.arch=transformer", "model.dim=16", "model.ffn_dim=4", "model.heads=4", "model.layers=2"
#define HYBRID                                                                                \
  "model.dim=16", "model.value_dim=8", "model.ffn_dim=4", "model.heads=2", "model.layers=4",  \
      "model.rotary=rope_half", "model.retention_scale=raw", "model.attention_layers=[3, 1]", \
      "model.attention_heads=4", "model.kv_heads=2", "model.attention_window=7"

static void compare(const rn_safetensors *file, rn_ckpt *ckpt, const char *theirs,
                    const char *ours) {
  enum { MAX_ELEMENTS = 256 };
  float got[MAX_ELEMENTS], want[MAX_ELEMENTS];
  const rn_safetensors_tensor *tensor = rn_safetensors_find(file, theirs);
  const Retnet__Tensor *stored = rn_ckpt_tensor(ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, ours);
  if (!CHECK(tensor != NULL && stored != NULL)) {
    fprintf(stderr, "%s or %s is missing\n", theirs, ours);
    return;
  }
  CHECK_EQUAL(tensor->count, rn_ckpt_elements(stored));
  CHECK_OK(err, rn_safetensors_read(err, file, tensor, 0, tensor->count, got));
  CHECK_OK(err, rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, ours,
                             (rn_range){0, tensor->count}, want));
  CHECK(memcmp(got, want, (size_t)tensor->count * sizeof *got) == 0);
}

/* The name of a tensor in the other program and in this one, {theirs, ours}, without the prefix of
 * the layer. */
typedef const char *const name_pair[2];

/* Compares tensors of layer `layer` (-1: tensors outside layers) in the first export with those of
 * the checkpoint. */
static void holds_names(const char *name, const char *run, int layer, name_pair *pair, int count) {
  char path[64], prefix[32] = "", theirs[96], ours[96];
  rn_safetensors *file = NULL;
  rn_ckpt *ckpt = NULL;
  snprintf(path, sizeof path, "%s.export1/model.safetensors", name);
  CHECK_OK(err, rn_safetensors_open(err, temp_path(path), &file));
  if (!CHECK_OK(err, rn_ckpt_find(err, run, false, NULL, &ckpt)) || file == NULL) return;
  CHECK(strcmp(rn_safetensors_metadata(file, "format"), "pt") == 0);
  if (layer >= 0) snprintf(prefix, sizeof prefix, "layers.%d.", layer);
  for (int i = 0; i < count; i++) {
    snprintf(theirs, sizeof theirs, "%s%s%s", layer < 0 ? "" : "model.", prefix, pair[i][0]);
    snprintf(ours, sizeof ours, "%s%s", prefix, pair[i][1]);
    compare(file, ckpt, theirs, ours);
  }
  rn_safetensors_close(&file);
  rn_ckpt_close(&ckpt);
}

static json_t *config_of(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "%s.export1/config.json", name);
  return json_load_file(temp_path(path), 0, NULL);
}

static void config_holds(json_t *config, const char *want) {
  json_t *expected = json_loads(want, 0, NULL), *value;
  const char *key;
  CHECK(json_is_object(config) && json_is_object(expected));
  json_object_foreach(expected, key, value) {
    if (!CHECK(json_equal(json_object_get(config, key), value))) fprintf(stderr, "%s\n", key);
  }
  json_decref(expected);
  json_decref(config);
}

static void a_transformer_has_the_names_of_llama(void) {
  static name_pair inside[] = {
      {"input_layernorm.weight", "self_attn_layer_norm.weight"},
      {"self_attn.q_proj.weight", "self_attn.q_proj.weight"},
      {"self_attn.k_proj.weight", "self_attn.k_proj.weight"},
      {"self_attn.v_proj.weight", "self_attn.v_proj.weight"},
      {"self_attn.o_proj.weight", "self_attn.out_proj.weight"},
      {"post_attention_layernorm.weight", "final_layer_norm.weight"},
      {"mlp.gate_proj.weight", "ffn.fc1.weight"},
      {"mlp.up_proj.weight", "ffn.gate.weight"},
      {"mlp.down_proj.weight", "ffn.fc2.weight"},
  };
  static name_pair outside[] = {{"model.embed_tokens.weight", "embed_tokens.weight"},
                                {"model.norm.weight", "layer_norm.weight"},
                                {"lm_head.weight", "output_projection.weight"}};
  const char *run = model_ckpt_save(
      "llama", (model_ckpt){{LLAMA, "model.kv_heads=2", "data.sequence_length=77"}, 2, 1, 0, 0, 0});
  exchanged_returns("llama", run, hf, 2);
  for (int layer = 0; layer < 2; layer++) holds_names("llama", run, layer, inside, 9);
  holds_names("llama", run, -1, outside, 3);
  config_holds(config_of("llama"),
               "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
               " \"vocab_size\": 13, \"hidden_size\": 16, \"intermediate_size\": 4,"
               " \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
               " \"head_dim\": 4, \"hidden_act\": \"silu\", \"max_position_embeddings\": 77,"
               " \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000.0, \"rope_scaling\": null,"
               " \"attention_bias\": false, \"mlp_bias\": false, \"attention_dropout\": 0.0,"
               " \"tie_word_embeddings\": false, \"pad_token_id\": null,"
               " \"torch_dtype\": \"float32\"}");
}

static void transformers_return_with_equal_bytes(void) {
  rn_export_options other = hf;
  const char *tied = model_ckpt_save(
      "tied", (model_ckpt){{LLAMA, "model.tie_embeddings=true", "model.activation=gelu",
                            "model.rope_theta=500000.25", "model.norm_eps=0.3333333333333333"},
                           7,
                           2,
                           0,
                           false,
                           0});
  exchanged_returns("tied", tied, hf, 2);
  config_holds(config_of("tied"),
               "{\"hidden_act\": \"gelu\", \"tie_word_embeddings\": true,"
               " \"rope_theta\": 500000.25, \"num_key_value_heads\": 4}");
  other.dtype = RN_SAFETENSORS_BF16;
  exchanged_returns("bf16", tied, other, 2);
  other = hf;
  other.shard_bytes = 2600;
  exchanged_returns("sharded", tied, other, 8);
}

static void a_hybrid_has_the_names_of_fla(void) {
  static name_pair attention[] = {
      {"attn_norm.weight", "self_attn_layer_norm.weight"},
      {"attn.q_proj.weight", "self_attn.q_proj.weight"},
      {"attn.k_proj.weight", "self_attn.k_proj.weight"},
      {"attn.v_proj.weight", "self_attn.v_proj.weight"},
      {"attn.o_proj.weight", "self_attn.out_proj.weight"},
      {"mlp_norm.weight", "final_layer_norm.weight"},
      {"mlp.gate_proj.weight", "ffn.fc1.weight"},
  };
  static name_pair retention[] = {{"attn_norm.weight", "retention_layer_norm.weight"},
                                  {"attn.o_proj.weight", "retention.out_proj.weight"}};
  const char *run = model_ckpt_save("hybrid", (model_ckpt){{HYBRID}, 2, 1, 0, 0, 0});
  exchanged_returns("hybrid", run, hf, 2);
  holds_names("hybrid", run, 3, attention, 7);
  holds_names("hybrid", run, 2, retention, 2);
  config_holds(config_of("hybrid"),
               "{\"model_type\": \"retnet\", \"num_heads\": 2, \"attn\": {\"layers\": [1, 3],"
               " \"num_heads\": 4, \"num_kv_heads\": 2, \"qkv_bias\": false, \"window_size\": 7,"
               " \"rope_theta\": 10000.0}}");
}

static void what_a_program_lacks_is_refused_by_key(void) {
  static const char *const keys[] = {
      "attention_window=3",  "block_norm=layer",    "ffn=mlp", "pre_norm=false", "deepnorm=true",
      "embedding_norm=true", "scale_embedding=true"};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    char key[64], name[64], want[64];
    snprintf(key, sizeof key, "model.%s", keys[i]);
    snprintf(name, sizeof name, "lacks%d", (int)i);
    snprintf(want, sizeof want, "model.%.*s:|Llama", (int)strcspn(keys[i], "="), keys[i]);
    const char *run = model_ckpt_save(name, (model_ckpt){{LLAMA, key}, 2, 1, 0, 0, 0});
    CHECK_FAILS(err, RN_ERR_MISMATCH, want, rn_export(err, run, temp_path("no"), &hf));
  }
  rn_export_options other = hf;
  other.fused_gate = true;
  CHECK_FAILS(err, RN_ERR_USAGE, "--fused-gate",
              rn_export(err, temp_path("llama"), temp_path("no"), &other));
  other = (rn_export_options){.format = RN_EXPORT_TORCHSCALE, .dtype = RN_SAFETENSORS_F32};
  CHECK_FAILS(err, RN_ERR_MISMATCH,
              "model.arch:", rn_export(err, temp_path("llama"), temp_path("no"), &other));
  CHECK_FAILS(err, RN_ERR_MISMATCH, "model.attention_layers:",
              rn_export(err, temp_path("hybrid"), temp_path("no"), &other));
  CHECK(!rn_file_exists(temp_path("no")));
}

static void configurations_that_do_not_fit_are_refused(void) {
  static const exchanged_config llama[] = {
      {"hidden_size", "8", RN_ERR_MISMATCH, "head_dim"},
      {"num_attention_heads", "3", RN_ERR_MISMATCH, "head_dim"},
      {"num_attention_heads", "65536", RN_ERR_MISMATCH, "head_dim"},
      {"num_key_value_heads", "3", RN_ERR_FORMAT, "kv_heads"},
      {"num_key_value_heads", "4", RN_ERR_MISMATCH, "k_proj|[16, 16]"},
      {"num_hidden_layers", "1", RN_ERR_MISMATCH, "model.layers.1.|no counterpart"},
      {"head_dim", "8", RN_ERR_MISMATCH, "head_dim"},
      {"hidden_act", "\"gelu_new\"", RN_ERR_MISMATCH, "hidden_act|silu or gelu"},
      {"attention_bias", "true", RN_ERR_MISMATCH, "attention_bias"},
      {"mlp_bias", "true", RN_ERR_MISMATCH, "mlp_bias"},
      {"quantization_config", "{}", RN_ERR_MISMATCH, "quantization_config"},
      {"rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 8.0}", RN_ERR_MISMATCH,
       "rope_scaling|default"},
      {"rope_scaling", "{\"type\": \"linear\"}", RN_ERR_MISMATCH, "rope_scaling"},
      {"rope_scaling", "3", RN_ERR_FORMAT, "rope_scaling"},
      {"rope_parameters", "{\"rope_type\": \"default\", \"rope_theta\": 7}", RN_ERR_MISMATCH,
       "rope_theta|one value"},
      {"partial_rotary_factor", "0.5", RN_ERR_MISMATCH, "partial_rotary_factor"},
      {"rope_theta", "0", RN_ERR_FORMAT, "rope_theta"},
      {"intermediate_size", "2", RN_ERR_MISMATCH, "gate_proj|[2, 16]"},
      {"tie_word_embeddings", "true", RN_ERR_MISMATCH, "lm_head.weight|tied"},
      {"model_type", "\"mistral\"", RN_ERR_MISMATCH, "model_type|llama"},
  };
  static const exchanged_config fla[] = {
      {"attn", "3", RN_ERR_FORMAT, "attn"},
      {"attn", "null", RN_ERR_MISMATCH, "model.layers.1.attn.g_proj.weight|missing"},
      {"attn", "{\"layers\": [1, 3]}", RN_ERR_FORMAT, "attn: num_heads"},
      {"attn", "{\"num_heads\": 4}", RN_ERR_FORMAT, "attn: layers"},
      {"attn", "{\"num_heads\": 4, \"layers\": [1, 4]}", RN_ERR_FORMAT, "attn: layers"},
      {"attn", "{\"num_heads\": 4, \"layers\": [-1]}", RN_ERR_FORMAT, "attn: layers"},
      {"attn", "{\"num_heads\": 4, \"layers\": [1, 1]}", RN_ERR_FORMAT, "listed twice"},
      {"attn", "{\"num_heads\": 3, \"layers\": [1, 3]}", RN_ERR_FORMAT, "attention_heads"},
      {"attn", "{\"num_heads\": 4, \"layers\": [1, 3], \"qkv_bias\": true}", RN_ERR_MISMATCH,
       "qkv_bias"},
      {"attn", "[{\"num_heads\": 4, \"layers\": [1]}, {\"num_heads\": 2, \"layers\": [3]}]",
       RN_ERR_MISMATCH, "attn|equal in all but layers"},
  };
  exchanged_refuses("llama", llama, sizeof llama / sizeof llama[0]);
  exchanged_refuses("hybrid", fla, sizeof fla / sizeof fla[0]);
}

static void same_model(const char *a, const char *b) {
  char text[256] = "";
  bool identical = false;
  FILE *out = fmemopen(text, sizeof text, "w");
  CHECK_OK(err, rn_ckpt_tool_diff(err, temp_path(a), temp_path(b), false, out, &identical));
  fclose(out);
  if (!CHECK(identical)) fprintf(stderr, "%s", text);
}

/* Version 5 of transformers writes the rotary base in `rope_parameters`; fla may write `attn` as a
 * list. */
static void newer_configurations_are_read(void) {
  const char *path = temp_path("tied.export1/config.json");
  json_t *config = json_load_file(path, 0, NULL);
  json_object_del(config, "rope_theta");
  json_object_del(config, "torch_dtype");
  json_object_set_new(config, "rope_parameters",
                      json_pack("{s:s, s:f}", "rope_type", "default", "rope_theta", 500000.25));
  CHECK_EQUAL(json_dump_file(config, path, JSON_REAL_PRECISION(17)), 0);
  json_decref(config);
  CHECK_OK(err, exchanged_import(err, temp_path("tied.export1"), temp_path("newer")));
  same_model("tied.imported0", "newer");

  path = temp_path("hybrid.export1/config.json");
  config = json_load_file(path, 0, NULL);
  json_t *first = json_object_get(config, "attn"), *second = json_deep_copy(first);
  json_array_remove(json_object_get(first, "layers"), 0);
  json_array_remove(json_object_get(second, "layers"), 1);
  json_object_set_new(config, "attn", json_pack("[O, o]", first, second));
  CHECK_EQUAL(json_dump_file(config, path, JSON_REAL_PRECISION(17)), 0);
  json_decref(config);
  CHECK_OK(err, exchanged_import(err, temp_path("hybrid.export1"), temp_path("list")));
  same_model("hybrid.imported0", "list");
}

int main(void) {
  a_transformer_has_the_names_of_llama();
  transformers_return_with_equal_bytes();
  a_hybrid_has_the_names_of_fla();
  what_a_program_lacks_is_refused_by_key();
  configurations_that_do_not_fit_are_refused();
  newer_configurations_are_read();
  return check_result();
}
