/* diff reports exactly the logical differences; export has the official names and the same bits. */
#include "trainer/tools/ckpt_tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/exchange/safetensors.h"
#include "model/spec/param.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

/* What a checkpoint for these tests is made of. */
typedef struct recipe {
  const char *keys[6]; /* -s, up to a NULL */
  int64_t step;
  int parts;
  float nudge; /* added to the last weight */
  bool threads_set;
  int64_t saved_unix_s; /* 0: absent, as in older checkpoints */
} recipe;

static float value_of(int kind, int tensor, int64_t i) {
  return fake_value(3, kind, tensor, i);
}

static rn_status save_slices(const char *run, const recipe *r, const Retnet__Manifest *head,
                             const rn_param_table *table, float *values) {
  enum { KINDS = 3, MAX_SLICES = 256 };
  static rn_ckpt_slice slices[MAX_SLICES];
  rn_ckpt_report reports[4] = {{.bytes = NULL}};
  rn_path stage = rn_ckpt_stage_path(run, r->step);
  int count = 0;
  for (int kind = 0; kind < KINDS; kind++) {
    for (int t = 0; t < table->count; t++) {
      const rn_param *p = &table->param[t];
      float *data = values + kind * table->total + p->offset;
      for (int64_t i = 0; i < p->rows * p->cols; i++) data[i] = value_of(kind, t, i);
      slices[count++] = (rn_ckpt_slice){(Retnet__TensorKind)kind,
                                        p->name,
                                        p->matrix ? 2 : 1,
                                        {p->rows, p->matrix ? p->cols : 0},
                                        0,
                                        p->rows * p->cols,
                                        data};
    }
  }
  values[table->total - 1] += r->nudge;
  RN_TRY(err, rn_ckpt_stage_dir(err, run, r->step));
  for (int i = 0; i < r->parts; i++) {
    int begin = count * i / r->parts, end = count * (i + 1) / r->parts;
    RN_TRY(err, rn_ckpt_write_file(err, (rn_ckpt_output){stage.text, i, 0, 1}, slices + begin,
                                   end - begin, &reports[i]));
  }
  rn_status status = rn_ckpt_commit(err, run, head, reports, r->parts);
  for (int i = 0; i < r->parts; i++) free(reports[i].bytes);
  return status;
}

static const char *save(const char *name, recipe r) {
  const char *run = temp_path(name);
  int keys = 0;
  while (r.keys[keys] != NULL) keys++;
  Retnet__Config *config = NULL;
  rn_param_table *table = NULL;
  rn_spec spec;
  Retnet__Manifest head = fake_head(r.step);
  Retnet__Layout layout = RETNET__LAYOUT__INIT;
  int32_t layers[] = {1, 3};
  layout.has_threads = r.threads_set;
  layout.layer_split = layers;
  layout.n_layer_split = r.saved_unix_s != 0 ? 2 : 0;
  head.layout = &layout;
  head.build = r.saved_unix_s != 0 ? "another build" : NULL;
  head.has_saved_unix_s = r.saved_unix_s != 0;
  head.saved_unix_s = r.saved_unix_s;
  CHECK_OK(err, rn_options_load(err, NULL, r.keys, keys, &config));
  head.config = config;
  CHECK_OK(err, rn_spec_from_config(err, config, 13, &spec));
  CHECK_OK(err, rn_param_table_create(err, &spec, 0, spec.layers, &table));
  float *values = calloc((size_t)table->total * 3, sizeof *values);
  CHECK_OK(err, save_slices(run, &r, &head, table, values));
  free(values);
  rn_param_table_destroy(&table);
  rn_options_free(&config);
  return run;
}

#define SMALL "model.dim=16", "model.value_dim=8", "model.ffn_dim=4"

/* Whether a and b differ, and the words are in what is said about it. */
static bool differs(const char *a, const char *b, bool weights_only, const char *words) {
  char text[8192] = "";
  bool identical = false;
  FILE *out = fmemopen(text, sizeof text - 1, "w");
  CHECK_OK(err, rn_ckpt_tool_diff(err, a, b, weights_only, out, &identical));
  fclose(out);
  if (strstr(text, words) == NULL) fprintf(stderr, "no \"%s\" in: %s\n", words, text);
  CHECK(strstr(text, words) != NULL);
  return !identical;
}

static void diff_sees_what_counts(void) {
  const char *base = save("base", (recipe){{SMALL}, 2, 1, 0, false, 0});
  CHECK(!differs(base, base, false, "identical\n"));
  const char *layout = save("layout", (recipe){{SMALL, "model.chunk=8"}, 2, 3, 0, true, 0});
  CHECK(!differs(base, layout, false, "identical\n"));
  const char *later = save("later", (recipe){{SMALL}, 2, 2, 0, false, 1700000000});
  CHECK(!differs(base, later, false, "identical\n"));
  const char *step = save("step", (recipe){{SMALL}, 3, 2, 0, false, 0});
  CHECK(differs(base, step, false, "step: 2 and 3\n"));
  CHECK(!differs(base, step, true, "identical\n"));
  const char *nudged = save("nudged", (recipe){{SMALL}, 2, 2, 0.25f, false, 0});
  CHECK(differs(base, nudged, true, ": 1 of 208 elements differ, by at most 0.25\n"));
  CHECK(differs(base, nudged, false, "output_projection.weight"));
  const char *eps = save("eps", (recipe){{SMALL, "model.norm_eps=0.01"}, 2, 1, 0, false, 0});
  CHECK(differs(base, eps, false, "model.norm_eps"));
  CHECK(!differs(base, eps, true, "identical\n"));
  const char *tied =
      save("tied", (recipe){{SMALL, "model.tie_embeddings=true"}, 2, 1, 0, false, 0});
  CHECK(differs(base, tied, false, "weight output_projection.weight: only in"));
  CHECK(differs(tied, base, true, "weight output_projection.weight: only in"));
  bool identical;
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "nowhere",
              rn_ckpt_tool_diff(err, base, temp_path("nowhere"), false, stdout, &identical));
}

static bool holds(const rn_safetensors *file, const char *name, int64_t rows, int64_t cols,
                  float *values) {
  const rn_safetensors_tensor *tensor = rn_safetensors_find(file, name);
  if (tensor == NULL || tensor->type != RN_SAFETENSORS_F32) return false;
  if (tensor->dims != (cols > 0 ? 2 : 1) || tensor->shape[0] != rows) return false;
  if (cols > 0 && tensor->shape[1] != cols) return false;
  return rn_safetensors_read(err, file, tensor, 0, tensor->count, values) == RN_OK;
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
  const char *run =
      save("official", (recipe){{SMALL, "model.tie_embeddings=true"}, 2, 2, 0, false, 0});
  const char *path = temp_path("official.safetensors");
  rn_safetensors *file = NULL;
  rn_ckpt *ckpt = NULL;
  float got[D * D], want[D * D];
  CHECK_OK(err, rn_ckpt_tool_export(err, run, path));
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
  CHECK_OK(err, rn_ckpt_tool_export(err, run, temp_path("folder")));
  CHECK_OK(err, rn_safetensors_open(err, temp_path("folder/model.safetensors"), &file));
  rn_safetensors_close(&file);
}

static void what_the_official_model_lacks_is_refused_by_key(void) {
  static const char *const keys[] = {"gate=false",     "ffn=mlp",         "rotary=rope_half",
                                     "rotary=none",    "decay=paper",     "head_norm=rms_affine",
                                     "head_norm=none", "block_norm=layer"};
  for (int i = 0; i < (int)(sizeof keys / sizeof *keys); i++) {
    char key[64], name[64], want[64];
    snprintf(key, sizeof key, "model.%s", keys[i]);
    snprintf(name, sizeof name, "lacks%d", i);
    snprintf(want, sizeof want, "model.%.*s:", (int)strcspn(keys[i], "="), keys[i]);
    const char *run = save(name, (recipe){{SMALL, key}, 2, 1, 0, false, 0});
    CHECK_FAILS(err, RN_ERR_MISMATCH, want, rn_ckpt_tool_export(err, run, temp_path("no")));
    CHECK(!rn_file_exists(temp_path("no")));
  }
}

static void show_list_verify_and_prune_work(void) {
  static char text[65536];
  const char *run = save("many", (recipe){{SMALL, "checkpoint.keep_last=1"}, 2, 1, 0, false, 0});
  save("many", (recipe){{SMALL, "checkpoint.keep_last=1"}, 4, 1, 0, false, 1700000000});
  FILE *out = fmemopen(text, sizeof text - 1, "w");
  CHECK_OK(err, rn_ckpt_tool_show(err, run, out));
  CHECK_OK(err, rn_ckpt_tool_list(err, run, out));
  CHECK_OK(err, rn_ckpt_tool_verify(err, run, out));
  fclose(out);
  CHECK(strstr(text, "step           4\n") != NULL);
  CHECK(strstr(text, "layers         1, 3 (of each pipeline stage)\n") != NULL);
  CHECK(strstr(text, "build          another build\n") != NULL);
  CHECK(strstr(text, "saved          2023-11-14 22:13:20 UTC\n") != NULL);
  CHECK(strstr(text, "  model.dim: 16\n") != NULL);
  CHECK(strstr(text, "  embed_tokens.weight [13, 16] weight exp_avg exp_avg_sq\n") != NULL);
  CHECK(strstr(text, "step-00000002: ok\n") != NULL);
  CHECK_OK(err, rn_ckpt_tool_prune(err, run, 5, -1));
  CHECK(rn_file_exists(temp_path("many/checkpoints/step-00000002")));
  CHECK_OK(err, rn_ckpt_tool_prune(err, run, -1, -1));
  CHECK(!rn_file_exists(temp_path("many/checkpoints/step-00000002")));
  CHECK(rn_file_exists(temp_path("many/checkpoints/step-00000004")));
  CHECK_OK(err, rn_file_replace(err, temp_path("many/checkpoints/step-00000004/x"), "", 0));
  CHECK_FAILS(err, RN_ERR_FORMAT, "step-00000004/x", rn_ckpt_tool_verify(err, run, stdout));
}

/* What `list` and `verify` say of a run's only checkpoint. */
static void says(const char *run, rn_status verified, const char *word) {
  static char text[8192], line[256];
  rn_err why = {0};
  FILE *out = fmemopen(text, sizeof text, "w");
  CHECK_OK(err, rn_ckpt_tool_list(err, run, out));
  CHECK(rn_ckpt_tool_verify(&why, run, out) == verified);
  fclose(out);
  snprintf(line, sizeof line, "step-00000002: %s: ", word);
  CHECK(strstr(text, line) != NULL);
  snprintf(line, sizeof line, "step-00000002: %s\n", word);
  CHECK(strstr(text, line) != NULL);
}

/* A file that is cut is seen without reading it; a missing one has another word, the same in all
 * commands. */
static void list_and_verify_agree(void) {
  static const char part[] = "cut/checkpoints/step-00000002/part-00000.zst";
  const char *run = save("cut", (recipe){{SMALL}, 2, 1, 0, false, 0});
  CHECK_EQUAL(truncate(temp_path(part), 100), 0);
  says(run, RN_ERR_FORMAT, "damaged");
  CHECK_EQUAL(unlink(temp_path(part)), 0);
  says(run, RN_ERR_NOT_FOUND, "incomplete");
  CHECK_EQUAL(unlink(temp_path("cut/checkpoints/step-00000002/manifest.pb")), 0);
  says(run, RN_ERR_NOT_FOUND, "incomplete");
}

int main(void) {
  diff_sees_what_counts();
  export_holds_the_official_names();
  what_the_official_model_lacks_is_refused_by_key();
  show_list_verify_and_prune_work();
  list_and_verify_agree();
  return check_result();
}
