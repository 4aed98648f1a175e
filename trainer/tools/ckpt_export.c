/* Exports the weights of a checkpoint under the names of the official RetNet decoder. */
#include <stdlib.h>
#include <string.h>

#include "data/exchange/safetensors.h"
#include "model/spec/param.h"
#include "trainer/tools/ckpt_tool.h"

enum { FRAME = RN_CKPT_FRAME_ELEMENTS, EXTRA_ROWS = 3, CONFIG_BYTES = 1024 };

/* Source of one tensor of the file: a weight of the checkpoint, or values computed here. */
typedef struct row {
  const char *source; /* name of the weight; NULL: `values` is used */
  float *values;
} row;

/* State of an export; row[i] is the source of tensor[i]. */
typedef struct exporter {
  rn_ckpt *ckpt;
  rn_spec spec;
  rn_param_table *table;
  rn_safetensors_tensor *tensor;
  row *row;
  int count;
  float *frame, *angle, *decay;
  rn_safetensors_writer *writer;
} exporter;

static rn_status refuse(rn_err *err, const char *key, const char *official) {
  return rn_fail(
      err, RN_ERR_MISMATCH,
      "model.%s: the torchscale model supports only %s, so this checkpoint cannot be exported", key,
      official);
}

static rn_status check_expressible(rn_err *err, const rn_spec *spec) {
  if (!spec->gate) return refuse(err, "gate", "true");
  if (spec->ffn != RN_FFN_GLU) return refuse(err, "ffn", "glu");
  if (spec->rotary != RN_ROTARY_TORCHSCALE) return refuse(err, "rotary", "torchscale");
  if (spec->decay != RN_DECAY_EQ8) return refuse(err, "decay", "eq8");
  if (spec->head_norm != RN_HEAD_NORM_RMS) return refuse(err, "head_norm", "rms");
  if (spec->block_norm != RN_BLOCK_NORM_RMS) return refuse(err, "block_norm", "rms");
  return RN_OK;
}

static void add_row(exporter *e, const char *name, int64_t rows, int64_t cols, bool matrix,
                    row what) {
  e->tensor[e->count] = (rn_safetensors_tensor){.name = name,
                                                .type = RN_SAFETENSORS_F32,
                                                .dims = matrix ? 2 : 1,
                                                .shape = {rows, matrix ? cols : 0},
                                                .count = rows * cols};
  e->row[e->count++] = what;
}

static rn_status plan_weights(rn_err *err, exporter *e) {
  for (int i = 0; i < e->table->count; i++) {
    const rn_param *param = &e->table->param[i];
    const Retnet__Tensor *tensor =
        rn_ckpt_tensor(e->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, param->name);
    if (tensor == NULL || rn_ckpt_elements(tensor) != param->rows * param->cols) {
      return rn_fail(err, RN_ERR_MISMATCH, "%s has no weight \"%s\" of the expected size",
                     rn_ckpt_path(e->ckpt), param->name);
    }
    add_row(e, param->name, param->rows, param->cols, param->matrix, (row){param->name, NULL});
  }
  if (e->spec.tie_embeddings) {
    add_row(e, "output_projection.weight", e->spec.vocab, e->spec.dim, true,
            (row){"embed_tokens.weight", NULL});
  }
  return RN_OK;
}

static rn_status plan_buffers(rn_err *err, exporter *e) {
  int heads = e->spec.heads, key_width = rn_spec_key_width(&e->spec);
  double *numbers = malloc((size_t)(heads + key_width) * sizeof *numbers);
  if (numbers == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while exporting %s", rn_ckpt_path(e->ckpt));
  rn_spec_angles(e->spec.rotary, key_width, numbers);
  for (int i = 0; i < key_width; i++) e->angle[i] = (float)numbers[i / 2];
  rn_spec_log_decay(&e->spec, numbers);
  for (int h = 0; h < heads; h++) e->decay[h] = (float)numbers[h];
  free(numbers);
  add_row(e, "retnet_rel_pos.angle", key_width, 1, false, (row){NULL, e->angle});
  add_row(e, "retnet_rel_pos.decay", heads, 1, false, (row){NULL, e->decay});
  return RN_OK;
}

static rn_status take_memory(rn_err *err, exporter *e) {
  size_t rows = (size_t)e->table->count + EXTRA_ROWS;
  e->tensor = calloc(rows, sizeof *e->tensor);
  e->row = calloc(rows, sizeof *e->row);
  e->frame = malloc(FRAME * sizeof *e->frame);
  e->angle = calloc((size_t)rn_spec_key_width(&e->spec), sizeof *e->angle);
  e->decay = calloc((size_t)e->spec.heads, sizeof *e->decay);
  if (e->tensor == NULL || e->row == NULL || e->frame == NULL || e->angle == NULL ||
      e->decay == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while exporting %s", rn_ckpt_path(e->ckpt));
  }
  return RN_OK;
}

/* Returns the official model's name of an activation, or "unknown", which that model rejects. */
static const char *activation_name(rn_activation activation) {
  switch (activation) {
    case RN_ACTIVATION_SWISH:
      return "swish";
    case RN_ACTIVATION_GELU:
      return "gelu";
  }
  return "unknown";
}

/* Writes the constructor arguments of the official model as JSON to `text`. */
static void describe(const rn_spec *s, char text[CONFIG_BYTES]) {
  static const char *const words[] = {"false", "true"};
  snprintf(text, CONFIG_BYTES,
           "{\"decoder_layers\": %d, \"decoder_embed_dim\": %d, \"decoder_value_embed_dim\": %d, "
           "\"decoder_ffn_embed_dim\": %d, \"decoder_retention_heads\": %d, \"vocab_size\": %d, "
           "\"activation_fn\": \"%s\", \"layernorm_eps\": %g, \"decoder_normalize_before\": %s, "
           "\"deepnorm\": %s, \"layernorm_embedding\": %s, \"no_scale_embedding\": %s, "
           "\"share_decoder_input_output_embed\": %s}",
           s->layers, s->dim, s->value_dim, s->ffn_dim, s->heads, s->vocab,
           activation_name(s->activation), s->norm_eps, words[s->pre_norm], words[s->deepnorm],
           words[s->embedding_norm], words[!s->scale_embedding], words[s->tie_embeddings]);
}

static rn_status write_row(rn_err *err, exporter *e, int index) {
  const row *what = &e->row[index];
  int64_t elements = e->tensor[index].count;
  if (what->source == NULL) {
    return rn_safetensors_append(err, e->writer, what->values, (size_t)elements * sizeof(float));
  }
  for (int64_t first = 0; first < elements; first += FRAME) {
    int64_t count = elements - first < FRAME ? elements - first : FRAME;
    RN_TRY(err, rn_ckpt_read(err, e->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, what->source,
                             (rn_range){first, first + count}, e->frame));
    RN_TRY(err, rn_safetensors_append(err, e->writer, e->frame, (size_t)count * sizeof(float)));
  }
  return RN_OK;
}

static rn_status write_file(rn_err *err, exporter *e, const char *path) {
  char config[CONFIG_BYTES], step[32];
  describe(&e->spec, config);
  snprintf(step, sizeof step, "%lld", (long long)rn_ckpt_manifest(e->ckpt)->step);
  const rn_safetensors_note notes[] = {{"format", "pt"}, {"config", config}, {"step", step}};
  RN_TRY(err, rn_safetensors_create(
                  err, path, &(rn_safetensors_header){e->tensor, e->count, notes, 3}, &e->writer));
  for (int i = 0; i < e->count; i++) RN_TRY(err, write_row(err, e, i));
  return rn_safetensors_finish(err, &e->writer);
}

static rn_status name_file(rn_err *err, const char *path, rn_path *file) {
  static const char end[] = ".safetensors";
  size_t length = strlen(path), end_length = sizeof end - 1;
  bool is_file = length > end_length && strcmp(path + length - end_length, end) == 0;
  *file = rn_path_join(path, "model.safetensors");
  if (!is_file) return rn_file_make_folder(err, path);
  snprintf(file->text, sizeof file->text, "%s", path);
  return RN_OK;
}

static rn_status export_to(rn_err *err, exporter *e, const char *path) {
  RN_TRY(err, rn_ckpt_tool_spec(err, e->ckpt, &e->spec));
  RN_TRY(err, check_expressible(err, &e->spec));
  RN_TRY(err, rn_param_table_create(err, &e->spec, 0, e->spec.layers, &e->table));
  RN_TRY(err, take_memory(err, e));
  RN_TRY(err, plan_weights(err, e));
  RN_TRY(err, plan_buffers(err, e));
  rn_path file;
  RN_TRY(err, name_file(err, path, &file));
  return write_file(err, e, file.text);
}

rn_status rn_ckpt_tool_export(rn_err *err, const char *ckpt_path, const char *path) {
  exporter e = {0};
  rn_status status = rn_ckpt_tool_open(err, ckpt_path, &e.ckpt);
  if (status == RN_OK) status = export_to(err, &e, path);
  rn_safetensors_abandon(&e.writer);
  rn_param_table_destroy(&e.table);
  rn_ckpt_close(&e.ckpt);
  free(e.tensor);
  free(e.row);
  free(e.frame);
  free(e.angle);
  free(e.decay);
  return status;
}
