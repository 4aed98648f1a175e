/* Writes a checkpoint's weights in the format of another program. */
#include <stdlib.h>
#include <string.h>

#include "data/exchange/tensor_files.h"
#include "data/file/file.h"
#include "model/spec/param.h"
#include "trainer/exchange/exchange.h"
#include "trainer/exchange/exchange_tokenizer.h"
#include "trainer/exchange/format.h"
#include "trainer/tools/ckpt_tool.h"

enum { FRAME = RN_CKPT_FRAME_ELEMENTS, OUTER_EXTRAS = 3 };

/* Where the values of one exported tensor come from: the weight source[0] of the checkpoint,
 * followed by the rows of the weight source[1] if that is not NULL; or `values`, which are computed
 * here. */
typedef struct row {
  const char *source[2];
  const float *values;
} row;

/* State of an export; row[i] is the source of tensor[i]. */
typedef struct exporter {
  const rn_export_options *options;
  const rn_exchange_format *format;
  rn_ckpt *ckpt;
  rn_exchange_model model;
  rn_param_table *table;
  rn_safetensors_tensor *tensor;
  row *row;
  char (*name)[RN_PARAM_NAME_BYTES];
  int count;
  float *frame, *angle, *decay, *ones;
  rn_tensor_files_writer *writer;
} exporter;

static rn_status no_memory(rn_err *err, const exporter *e) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while exporting %s", rn_ckpt_path(e->ckpt));
}

/* ---- the tensors ---- */

/* Adds a tensor [rows, cols], or a vector if cols is 0, under the other program's name. */
static void add_row(exporter *e, const char *ours, int64_t rows, int64_t cols, row what) {
  char *name = e->name[e->count];
  if (!rn_format_name(e->format, ours, false, name, sizeof e->name[0])) return;
  e->tensor[e->count] = (rn_safetensors_tensor){.name = name,
                                                .type = e->options->dtype,
                                                .dims = cols > 0 ? 2 : 1,
                                                .shape = {rows, cols},
                                                .count = rows * (cols > 0 ? cols : 1)};
  if (what.values != NULL && e->format->has_buffers) {
    e->tensor[e->count].type = RN_SAFETENSORS_F32;
  }
  e->row[e->count++] = what;
}

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), end_length = strlen(end);
  return length > end_length && strcmp(text + length - end_length, end) == 0;
}

static rn_status check_stored(rn_err *err, const exporter *e, const rn_param *param) {
  const Retnet__Tensor *tensor =
      rn_ckpt_tensor(e->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, param->name);
  if (tensor != NULL && rn_ckpt_elements(tensor) == param->rows * param->cols) return RN_OK;
  return rn_fail(err, RN_ERR_MISMATCH, "%s has no weight \"%s\" of the expected size",
                 rn_ckpt_path(e->ckpt), param->name);
}

/* Called after the tensor of each parameter `last`. If the other program's head norm always has
 * weights but the model's has none, and `last` is an output projection, adds head norm weights that
 * are all 1. In the parameter table (model/spec/param.h), they have the same place. */
static void add_head_norm(exporter *e, const char *last) {
  static const char place[] = ".out_proj.weight", norm[] = ".g_norm.weight";
  char name[RN_PARAM_NAME_BYTES];
  if (e->format->names == NULL || e->model.spec.head_norm != RN_HEAD_NORM_RMS) return;
  if (!ends_with(last, place)) return;
  snprintf(name, sizeof name, "%.*s%s", (int)(strlen(last) - (sizeof place - 1)), last, norm);
  add_row(e, name, rn_spec_value_width(&e->model.spec), 0, (row){.values = e->ones});
}

static rn_status plan_weights(rn_err *err, exporter *e) {
  const bool fused = e->options->fused_gate;
  for (int i = 0; i < e->table->count; i++) {
    const rn_param *param = &e->table->param[i];
    row what = {.source = {param->name}};
    int64_t rows = param->rows;
    RN_TRY(err, check_stored(err, e, param));
    if (fused && ends_with(param->name, ".ffn.gate.weight")) continue;
    if (fused && ends_with(param->name, ".ffn.fc1.weight")) {
      what.source[1] = param[1].name; /* gate follows fc1 in the table (model/spec/param.h) */
      rows *= 2;
    }
    add_row(e, param->name, rows, param->matrix ? param->cols : 0, what);
    add_head_norm(e, param->name);
  }
  return RN_OK;
}

/* Adds the tensors of torchscale's state dict that are not parameters: the tables of rotation
 * angles and decays, and a copy of a tied embedding as output projection. */
static rn_status plan_tables(rn_err *err, exporter *e) {
  const rn_spec *spec = &e->model.spec;
  const int key_width = rn_spec_key_width(spec);
  if (spec->tie_embeddings) {
    add_row(e, "output_projection.weight", spec->vocab, spec->dim,
            (row){.source = {"embed_tokens.weight"}});
  }
  double *numbers = malloc((size_t)(spec->heads + key_width) * sizeof *numbers);
  if (numbers == NULL) return no_memory(err, e);
  rn_spec_angles(spec->rotary, key_width, numbers);
  for (int i = 0; i < key_width; i++) e->angle[i] = (float)numbers[i / 2];
  rn_spec_log_decay(spec, 0, numbers);
  for (int h = 0; h < spec->heads; h++) e->decay[h] = (float)numbers[h];
  free(numbers);
  add_row(e, "retnet_rel_pos.angle", key_width, 0, (row){.values = e->angle});
  add_row(e, "retnet_rel_pos.decay", spec->heads, 0, (row){.values = e->decay});
  return RN_OK;
}

static rn_status take_memory(rn_err *err, exporter *e) {
  const rn_spec *spec = &e->model.spec;
  const size_t rows = (size_t)e->table->count + (size_t)spec->layers + OUTER_EXTRAS;
  const int value_width = rn_spec_value_width(spec);
  e->tensor = calloc(rows, sizeof *e->tensor);
  e->row = calloc(rows, sizeof *e->row);
  e->name = calloc(rows, sizeof *e->name);
  e->frame = malloc(FRAME * sizeof *e->frame);
  e->angle = calloc((size_t)rn_spec_key_width(spec), sizeof *e->angle);
  e->decay = calloc((size_t)spec->heads, sizeof *e->decay);
  e->ones = calloc((size_t)value_width, sizeof *e->ones);
  if (e->tensor == NULL || e->row == NULL || e->name == NULL || e->frame == NULL ||
      e->angle == NULL || e->decay == NULL || e->ones == NULL) {
    return no_memory(err, e);
  }
  for (int i = 0; i < value_width; i++) e->ones[i] = 1;
  return RN_OK;
}

/* ---- writing ---- */

static rn_status write_weight(rn_err *err, exporter *e, const char *name) {
  const int64_t elements =
      rn_ckpt_elements(rn_ckpt_tensor(e->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, name));
  for (int64_t first = 0; first < elements; first += FRAME) {
    const int64_t count = elements - first < FRAME ? elements - first : FRAME;
    RN_TRY(err, rn_ckpt_read(err, e->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, name,
                             (rn_range){first, first + count}, e->frame));
    RN_TRY(err, rn_tensor_files_append(err, e->writer, e->frame, count));
  }
  return RN_OK;
}

static rn_status write_rows(rn_err *err, exporter *e) {
  for (int i = 0; i < e->count; i++) {
    const row *what = &e->row[i];
    if (what->values != NULL) {
      RN_TRY(err, rn_tensor_files_append(err, e->writer, what->values, e->tensor[i].count));
      continue;
    }
    RN_TRY(err, write_weight(err, e, what->source[0]));
    if (what->source[1] != NULL) RN_TRY(err, write_weight(err, e, what->source[1]));
  }
  return RN_OK;
}

/* Writes the tensors, the configuration and the tokenizer; all files get their final names at the
 * end. */
static rn_status write_model(rn_err *err, exporter *e, const char *config) {
  const char *folder = rn_tensor_files_folder(e->writer);
  RN_TRY(err, write_rows(err, e));
  if (folder != NULL) {
    RN_TRY(err, rn_exchange_write_tokenizer(err, rn_ckpt_path(e->ckpt),
                                            rn_ckpt_manifest(e->ckpt)->vocabulary, folder));
  }
  if (e->format->writes_config) {
    const rn_path path = rn_path_join(folder, "config.json");
    RN_TRY(err, rn_file_replace(err, path.text, config, strlen(config)));
  }
  return rn_tensor_files_finish(err, &e->writer);
}

static rn_status write_tensors(rn_err *err, exporter *e, const char *path, const char *config) {
  const Retnet__Manifest *manifest = rn_ckpt_manifest(e->ckpt);
  const char *tokenizer = manifest->vocabulary->tokenizer;
  char step[32];
  snprintf(step, sizeof step, "%lld", (long long)manifest->step);
  rn_safetensors_note notes[4] = {{"format", "pt"}, {"step", step}};
  int count = 2;
  const bool goes_along = e->format->writes_config && manifest->vocabulary->has_tokenizer_file;
  if (tokenizer != NULL && !goes_along && strcmp(tokenizer, RN_EXCHANGE_UNKNOWN_TOKENIZER) != 0) {
    notes[count++] = (rn_safetensors_note){"tokenizer", tokenizer};
  }
  if (!e->format->writes_config) notes[count++] = (rn_safetensors_note){"config", config};
  const rn_safetensors_header header = {e->tensor, e->count, notes, count};
  rn_status status =
      rn_tensor_files_create(err, path, &header, e->options->shard_bytes, &e->writer);
  if (status == RN_OK) status = write_model(err, e, config);
  rn_tensor_files_abandon(&e->writer);
  return status;
}

static const char *dtype_name(rn_safetensors_type type) {
  return type == RN_SAFETENSORS_F16    ? "float16"
         : type == RN_SAFETENSORS_BF16 ? "bfloat16"
                                       : "float32";
}

/* Returns a number of digits, 15 if possible, from which the number can be read back exactly. With
 * 17 digits, 1e-06 would be written as 9.9999999999999995e-7. */
static int digits_of(double number) {
  enum { FEW = 15, ALL = 17 };
  char text[40];
  snprintf(text, sizeof text, "%.*g", FEW, number);
  return strtod(text, NULL) == number ? FEW : ALL;
}

static rn_status write_files(rn_err *err, exporter *e, const char *path) {
  const rn_spec *spec = &e->model.spec;
  json_t *config = e->format->describe(&e->model, dtype_name(e->options->dtype));
  const int eps_digits = digits_of(spec->norm_eps), theta_digits = digits_of(spec->rope_theta);
  const size_t flags = JSON_REAL_PRECISION(eps_digits > theta_digits ? eps_digits : theta_digits) |
                       (e->format->writes_config ? JSON_INDENT(2) : 0);
  char *text = config != NULL ? json_dumps(config, flags) : NULL;
  json_decref(config);
  if (text == NULL) return no_memory(err, e);
  const rn_status status = write_tensors(err, e, path, text);
  free(text);
  return status;
}

/* Chooses the format, and checks that the other program can run our model. */
static rn_status choose_format(rn_err *err, exporter *e) {
  const rn_spec *spec = &e->model.spec;
  if (e->options->format == RN_EXPORT_TORCHSCALE) {
    e->format = &rn_format_torchscale;
  } else {
    e->format = spec->arch == RN_ARCH_TRANSFORMER ? &rn_format_llama : &rn_format_fla;
  }
  if (e->options->fused_gate && !e->format->fuses_gate) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--fused-gate: the %s model does not store fc1 and gate in one tensor",
                   e->format->program);
  }
  return e->format->check(err, spec);
}

static rn_status export_to(rn_err *err, exporter *e, const char *path) {
  const Retnet__Manifest *manifest = rn_ckpt_manifest(e->ckpt);
  RN_TRY(err, rn_ckpt_tool_spec(err, e->ckpt, &e->model.spec));
  RN_TRY(err, choose_format(err, e));
  const Retnet__Vocabulary *v = manifest->vocabulary;
  if (v->has_document_token) e->model.document_token = v->document_token;
  e->model.begin_token = v->has_begin_token ? v->begin_token : e->model.document_token;
  e->model.sequence_length = rn_ckpt_config(manifest)->data->sequence_length;
  RN_TRY(err, rn_param_table_create(err, &e->model.spec, 0, e->model.spec.layers, &e->table));
  RN_TRY(err, take_memory(err, e));
  RN_TRY(err, plan_weights(err, e));
  if (e->format->has_buffers) RN_TRY(err, plan_tables(err, e));
  return write_files(err, e, path);
}

rn_status rn_export(rn_err *err, const char *ckpt_path, const char *path,
                    const rn_export_options *options) {
  exporter e = {.options = options, .model = {.document_token = -1, .begin_token = -1}};
  if (options->format == RN_EXPORT_HF && ends_with(path, ".safetensors")) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--out %s: the format hf consists of several files, so --out must name a folder",
                   path);
  }
  rn_status status = rn_ckpt_tool_open(err, ckpt_path, &e.ckpt);
  if (status == RN_OK) status = export_to(err, &e, path);
  rn_param_table_destroy(&e.table);
  rn_ckpt_close(&e.ckpt);
  free(e.tensor);
  free(e.row);
  free(e.name);
  free(e.frame);
  free(e.angle);
  free(e.decay);
  free(e.ones);
  return status;
}
