/* Checks that a model that is exported to the format of another program and imported again has the
 * same bytes. Models that one of the two programs cannot compute are refused with a message that
 * names the key, and damaged or malicious files with a message that names the file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/exchange/safetensors.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/exchanged.h"
#include "tests/support/model_ckpt.h"
#include "tests/support/temp.h"
#include "trainer/exchange/exchange.h"
#include "trainer/tools/ckpt_tool.h"

static rn_err *err = &(rn_err){0};

static bool holds(const rn_safetensors *file, const char *name, int64_t rows, int64_t cols,
                  float *values) {
  const rn_safetensors_tensor *tensor = rn_safetensors_find(file, name);
  if (tensor == NULL || tensor->type != RN_SAFETENSORS_F32) return false;
  if (tensor->dims != (cols > 0 ? 2 : 1) || tensor->shape[0] != rows) return false;
  if (cols > 0 && tensor->shape[1] != cols) return false;
  return rn_safetensors_read(err, file, tensor, 0, tensor->count, values) == RN_OK;
}

static rn_status export_torchscale(const char *run, const char *path) {
  const rn_export_options options = {.format = RN_EXPORT_TORCHSCALE, .dtype = RN_SAFETENSORS_F32};
  return rn_export(err, run, path, &options);
}

static void export_holds_the_official_names(void) {
  enum { D = 16, V = 8, F = 4, N = 13 };
  static const struct {
    const char *name;
    int64_t rows, cols;
  } layer[] = {{"retention.q_proj.weight", D, D},
               {"retention.k_proj.weight", D, D},
               {"retention.v_proj.weight", V, D},
               {"retention.g_proj.weight", V, D},
               {"retention.out_proj.weight", D, V},
               {"retention_layer_norm.weight", D, 0},
               {"ffn.fc1.weight", F, D},
               {"ffn.gate.weight", F, D},
               {"ffn.fc2.weight", D, F},
               {"final_layer_norm.weight", D, 0}};
  const char *run = model_ckpt_save(
      "official", (model_ckpt){{MODEL_CKPT_SMALL, "model.tie_embeddings=true"}, 2, 2, 0, false, 0});
  const char *path = temp_path("official.safetensors");
  rn_safetensors *file = NULL;
  rn_ckpt *ckpt = NULL;
  float got[D * D], want[D * D];
  CHECK_OK(err, export_torchscale(run, path));
  CHECK_OK(err, rn_ckpt_find(err, run, false, NULL, &ckpt));
  if (!CHECK_OK(err, rn_safetensors_open(err, path, &file))) return;
  CHECK_EQUAL(rn_safetensors_count(file), 4 * 10 + 3 + 2);
  for (int i = 0; i < 40; i++) {
    char name[96];
    snprintf(name, sizeof name, "layers.%d.%s", i / 10, layer[i % 10].name);
    CHECK(holds(file, name, layer[i % 10].rows, layer[i % 10].cols, got));
    int64_t count = layer[i % 10].rows * (layer[i % 10].cols > 0 ? layer[i % 10].cols : 1);
    CHECK_OK(err, rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, name,
                               (rn_range){0, count}, want));
    CHECK(memcmp(got, want, (size_t)count * sizeof *got) == 0);
  }
  CHECK(holds(file, "layer_norm.weight", D, 0, got));
  CHECK(holds(file, "embed_tokens.weight", N, D, want));
  CHECK(holds(file, "output_projection.weight", N, D, got));
  CHECK(memcmp(got, want, N * D * sizeof *got) == 0);
  CHECK(holds(file, "retnet_rel_pos.angle", 4, 0, got));
  CHECK(got[0] == 1 && got[1] == 1 && got[2] == 1e-4f && got[3] == 1e-4f);
  CHECK(holds(file, "retnet_rel_pos.decay", 4, 0, got));
  for (int h = 0; h < 4; h++) CHECK_NEAR(got[h], log(1 - pow(2, -5 - h)), 1e-8);
  CHECK(strstr(rn_safetensors_metadata(file, "config"), "\"decoder_embed_dim\": 16") != NULL);
  rn_safetensors_close(&file);
  rn_ckpt_close(&ckpt);
  CHECK_OK(err, export_torchscale(run, temp_path("folder")));
  CHECK_OK(err, rn_safetensors_open(err, temp_path("folder/model.safetensors"), &file));
  rn_safetensors_close(&file);
}

/* ---- what formats do not support ---- */

#define HF "model.rotary=rope_half", "model.retention_scale=raw"

static rn_status export_hf(const char *run, const char *path) {
  const rn_export_options options = {.format = RN_EXPORT_HF, .dtype = RN_SAFETENSORS_F32};
  return rn_export(err, run, path, &options);
}

static void refused_by_key(const char *prefix, const char *first, const char *second,
                           const char *const *keys,
                           rn_status (*write)(const char *, const char *)) {
  for (int i = 0; keys[i] != NULL; i++) {
    char key[64], name[64], want[64];
    snprintf(key, sizeof key, "model.%s", keys[i]);
    snprintf(name, sizeof name, "%s%d", prefix, i);
    snprintf(want, sizeof want, "model.%.*s:", (int)strcspn(keys[i], "="), keys[i]);
    const char *run =
        model_ckpt_save(name, (model_ckpt){{MODEL_CKPT_SMALL, first, second, key}, 2, 1, 0, 0, 0});
    CHECK_FAILS(err, RN_ERR_MISMATCH, want, write(run, temp_path("no")));
    CHECK(!rn_file_exists(temp_path("no")));
  }
}

static void what_a_program_lacks_is_refused_by_key(void) {
  static const char *const torchscale[] = {"gate=false",          "ffn=mlp",
                                           "rotary=rope_half",    "rotary=none",
                                           "decay=paper",         "head_norm=rms_affine",
                                           "head_norm=none",      "block_norm=layer",
                                           "retention_scale=raw", NULL};
  static const char *const hf[] = {"gate=false",
                                   "ffn=mlp",
                                   "rotary=torchscale",
                                   "rotary=none",
                                   "decay=single",
                                   "head_norm=group",
                                   "head_norm=none",
                                   "block_norm=layer",
                                   "pre_norm=false",
                                   "deepnorm=true",
                                   "embedding_norm=true",
                                   "scale_embedding=true",
                                   "retention_scale=canonical",
                                   "activation=gelu",
                                   NULL};
  refused_by_key("torchscale", "model.layers=1", "model.heads=4", torchscale, export_torchscale);
  refused_by_key("hf", "model.rotary=rope_half", "model.retention_scale=raw", hf, export_hf);
  const rn_export_options fused = {
      .format = RN_EXPORT_TORCHSCALE, .dtype = RN_SAFETENSORS_F32, .fused_gate = true};
  CHECK_FAILS(err, RN_ERR_USAGE, "--fused-gate",
              rn_export(err, temp_path("official"), temp_path("no"), &fused));
  const char *wide = model_ckpt_save(
      "wide", (model_ckpt){{HF, "model.layers=1", "model.dim=258", "model.value_dim=2",
                            "model.ffn_dim=2", "model.heads=1"},
                           2,
                           1,
                           0,
                           false,
                           0});
  CHECK_FAILS(err, RN_ERR_MISMATCH, "model.heads:|256", export_hf(wide, temp_path("no")));
}

/* ---- export and import ---- */

static void models_return_with_equal_bytes(void) {
  const char *plain = model_ckpt_save(
      "plain",
      (model_ckpt){{MODEL_CKPT_SMALL, HF, "model.norm_eps=0.3333333333333333"}, 2, 1, 0, false, 0});
  const char *tied = model_ckpt_save(
      "tied", (model_ckpt){{MODEL_CKPT_SMALL, HF, "model.tie_embeddings=true",
                            "model.head_norm=rms_affine", "data.sequence_length=77"},
                           7,
                           2,
                           0,
                           false,
                           0});
  const char *official = model_ckpt_save(
      "back", (model_ckpt){{MODEL_CKPT_SMALL, "model.tie_embeddings=true", "model.activation=gelu",
                            "model.scale_embedding=true", "model.embedding_norm=true",
                            "model.pre_norm=false", "model.deepnorm=true"},
                           3,
                           1,
                           0,
                           false,
                           0});
  const rn_export_options hf = {.format = RN_EXPORT_HF, .dtype = RN_SAFETENSORS_F32};
  rn_export_options other = hf;
  exchanged_returns("plain", plain, hf, 2);
  exchanged_returns("tied", tied, hf, 2);
  other.dtype = RN_SAFETENSORS_BF16;
  exchanged_returns("bf16", tied, other, 2);
  other.dtype = RN_SAFETENSORS_F16;
  exchanged_returns("fp16", plain, other, 2);
  other = hf;
  other.fused_gate = true;
  exchanged_returns("fused", plain, other, 2);
  other = hf;
  other.shard_bytes = 2600;
  exchanged_returns("sharded", plain, other, 11);
  other = (rn_export_options){.format = RN_EXPORT_TORCHSCALE, .dtype = RN_SAFETENSORS_F32};
  exchanged_returns("official", official, other, 1);
}

static void both_layouts_of_the_gate_are_the_same_model(void) {
  char text[256] = "";
  bool identical = false;
  FILE *out = fmemopen(text, sizeof text, "w");
  CHECK_OK(err, rn_ckpt_tool_diff(err, temp_path("plain.imported0"), temp_path("fused.imported0"),
                                  false, out, &identical));
  fclose(out);
  CHECK(identical);
}

/* ---- what is refused ---- */

static void configurations_that_do_not_fit_are_refused(void) {
  static const exchanged_config tries[] = {
      {"model_type", "\"llama9\"", RN_ERR_MISMATCH, "model_type"},
      {"model_type", "7", RN_ERR_FORMAT, "model_type"},
      {"hidden_size", "32", RN_ERR_MISMATCH, "model.embeddings.weight|[13, 32]"},
      {"hidden_size", "0", RN_ERR_FORMAT, "hidden_size"},
      {"hidden_size", "1048577", RN_ERR_FORMAT, "hidden_size"},
      {"hidden_size", "16.5", RN_ERR_FORMAT, "hidden_size"},
      {"hidden_size", "99999999999", RN_ERR_FORMAT, "hidden_size"},
      {"hidden_size", "\"16\"", RN_ERR_FORMAT, "hidden_size"},
      {"num_heads", "3", RN_ERR_FORMAT, "model.heads"},
      {"num_heads", "16", RN_ERR_FORMAT, "channels per head"},
      {"num_hidden_layers", "3", RN_ERR_MISMATCH, "model.layers.3.|no counterpart"},
      {"num_hidden_layers", "5", RN_ERR_MISMATCH, "model.layers.4.|missing"},
      {"num_hidden_layers", "65536", RN_ERR_MISMATCH, "65536 layers"},
      {"intermediate_size", "2", RN_ERR_MISMATCH, "shape"},
      {"intermediate_size", "null", RN_ERR_MISMATCH, "[256, 16]"},
      {"vocab_size", "14", RN_ERR_MISMATCH, "[14, 16]"},
      {"expand_v", "1", RN_ERR_MISMATCH, "v_proj|[16, 16]"},
      {"expand_v", "1e300", RN_ERR_FORMAT, "expand_v"},
      {"expand_v", "0.01", RN_ERR_FORMAT, "model.value_dim"},
      {"expand_k", "0.5", RN_ERR_MISMATCH, "expand_k"},
      {"hidden_act", "\"gelu\"", RN_ERR_MISMATCH, "hidden_act"},
      {"num_kv_heads", "2", RN_ERR_MISMATCH, "num_kv_heads"},
      {"feature_map", "\"relu\"", RN_ERR_MISMATCH, "feature_map"},
      {"quantization_config", "{}", RN_ERR_MISMATCH, "quantization_config"},
      {"use_output_gate", "false", RN_ERR_MISMATCH, "g_proj|no counterpart"},
      {"use_output_gate", "1", RN_ERR_FORMAT, "use_output_gate"},
      {"elementwise_affine", "false", RN_ERR_MISMATCH, "g_norm|no counterpart"},
      {"tie_word_embeddings", "true", RN_ERR_MISMATCH, "lm_head.weight|tied"},
      {"norm_eps", "0", RN_ERR_FORMAT, "norm_eps"},
      {"max_position_embeddings", "-1", RN_ERR_FORMAT, "max_position_embeddings"},
  };
  exchanged_refuses("plain", tries, sizeof tries / sizeof tries[0]);
}

static void damaged_files_are_refused(void) {
  const char *ckpt = temp_path("refused"), *model = temp_path("plain.export1/model.safetensors");
  const char *config = temp_path("plain.export1/config.json");
  CHECK_FAILS(err, RN_ERR_USAGE, "plain",
              exchanged_import(err, temp_path("plain.export1"), temp_path("plain")));
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "nowhere", exchanged_import(err, temp_path("nowhere"), ckpt));
  CHECK_EQUAL(truncate(model, 3000), 0);
  CHECK_FAILS(err, RN_ERR_FORMAT, "model.safetensors",
              exchanged_import(err, temp_path("plain.export1"), ckpt));
  CHECK_EQUAL(truncate(model, 5), 0);
  CHECK_FAILS(err, RN_ERR_FORMAT, "model.safetensors",
              exchanged_import(err, temp_path("plain.export1"), ckpt));
  CHECK_OK(err, rn_file_replace(err, temp_path("tied.export1/config.json"), "{\"a\": ", 6));
  CHECK_FAILS(err, RN_ERR_FORMAT, "config.json|JSON",
              exchanged_import(err, temp_path("tied.export1"), ckpt));
  CHECK_EQUAL(unlink(temp_path("fused.export1/config.json")), 0);
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "config.json",
              exchanged_import(err, temp_path("fused.export1"), ckpt));
  CHECK(rn_file_exists(config) && !rn_file_exists(ckpt));
}

/* A state dict whose tables differ from those of torchscale is another model and must be
 * refused. */
static void other_tables_are_refused(void) {
  const char *path = temp_path("official.export1/model.safetensors");
  void *bytes = NULL;
  size_t size = 0;
  CHECK_OK(err, rn_file_load(err, path, 1 << 20, &bytes, &size));
  ((char *)bytes)[size - 1] ^= 0x20; /* changes the last decay */
  CHECK_OK(err, rn_file_replace(err, path, bytes, size));
  free(bytes);
  CHECK_FAILS(err, RN_ERR_MISMATCH, "retnet_rel_pos.decay",
              exchanged_import(err, temp_path("official.export1"), temp_path("refused")));
}

int main(void) {
  export_holds_the_official_names();
  what_a_program_lacks_is_refused_by_key();
  models_return_with_equal_bytes();
  both_layouts_of_the_gate_are_the_same_model();
  configurations_that_do_not_fit_are_refused();
  damaged_files_are_refused();
  other_tables_are_refused();
  return check_result();
}
