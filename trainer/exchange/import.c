/* Makes a checkpoint from the model of another program. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/checkpoint/ckpt.h"
#include "data/exchange/tensor_files.h"
#include "data/file/json_text.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/cli/version.h"
#include "proto/options/options.h"
#include "trainer/exchange/exchange.h"
#include "trainer/exchange/exchange_tokenizer.h"
#include "trainer/exchange/import_tensors.h"

enum {
  BATCH_ELEMENTS = 4 * RN_CKPT_FRAME_ELEMENTS,
  BATCH_SLICES = 256,
  MAX_CONFIG_BYTES = 4 << 20
};

/* State of an import. The weights are copied in batches, since the whole model may not fit into
 * memory. */
typedef struct importer {
  rn_path config_file;
  json_t *config_json;
  const rn_exchange_format *format;
  rn_tensor_files *files;
  Retnet__Config *config;
  rn_spec spec;
  rn_param_table *table;
  rn_tensor_source *source; /* [table->count] */
  rn_path staged;           /* the folder that is being written */
  float *batch;             /* [BATCH_ELEMENTS] */
  int64_t used;             /* number of elements of `batch` in use */
  rn_ckpt_slice slice[BATCH_SLICES];
  int slices;
  int64_t offset;          /* number of bytes written to the checkpoint's file so far */
  rn_ckpt_report *reports; /* [report_count] */
  int report_count;
  size_t report_capacity;
} importer;

static rn_status no_memory(rn_err *err) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while importing a model");
}

/* ---- configuration ---- */

static rn_status parse_config(rn_err *err, importer *im, const char *text, size_t bytes) {
  json_error_t problem = {0};
  bool no_room;
  im->config_json = rn_json_parse(text, bytes, JSON_REJECT_DUPLICATES, &problem, &no_room);
  if (json_is_object(im->config_json)) return RN_OK;
  if (no_room) return no_memory(err);
  return rn_fail(err, RN_ERR_FORMAT, "%s: the configuration is not a JSON object (byte %d: %s)",
                 im->config_file.text, problem.position, problem.text);
}

/* Reads the configuration. If `path` is a folder with a config.json, reads that file. Otherwise
 * reads the configuration that rn_export wrote into the tensors' file or, if there is none,
 * config.json in the same folder. */
static rn_status load_config(rn_err *err, importer *im, const char *path) {
  bool is_folder, exists;
  RN_TRY(err, rn_file_find_folder(err, path, &is_folder));
  const rn_path beside = rn_path_join(is_folder ? path : rn_path_folder(path).text, "config.json");
  const char *noted = rn_tensor_files_metadata(im->files, "config");
  im->config_file = beside;
  RN_TRY(err, rn_file_find(err, beside.text, &exists));
  if (noted != NULL && (!is_folder || !exists)) {
    snprintf(im->config_file.text, sizeof im->config_file.text, "%s",
             rn_tensor_files_path(im->files, 0));
    return parse_config(err, im, noted, strlen(noted));
  }
  void *text = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_file_load(err, beside.text, MAX_CONFIG_BYTES, &text, &bytes));
  const rn_status status = parse_config(err, im, text, bytes);
  free(text);
  return status;
}

static rn_status choose_format(rn_err *err, importer *im, const rn_json_fields *fields) {
  const char *type = "";
  RN_TRY(err, rn_json_string(err, fields, "model_type", "", &type));
  if (rn_json_has(fields, "decoder_embed_dim") && !rn_json_has(fields, "hidden_size")) {
    im->format = &rn_format_torchscale;
  } else if (strcmp(type, "retnet") == 0) {
    im->format = &rn_format_fla;
  } else if (strcmp(type, "llama") == 0) {
    im->format = &rn_format_llama;
  } else {
    return rn_fail(err, RN_ERR_MISMATCH,
                   "%s: model_type: only retnet (fla's RetNetForCausalLM) and llama "
                   "(LlamaForCausalLM) are supported, and configurations of torchscale's "
                   "RetNetDecoder",
                   fields->file);
  }
  return RN_OK;
}

/* Limits the number of layers, because a hostile configuration could require a huge parameter
 * table. */
static rn_status check_layers(rn_err *err, const importer *im) {
  const int tensors = rn_tensor_files_count(im->files);
  if (im->config->model->layers <= tensors) return RN_OK;
  return rn_fail(err, RN_ERR_MISMATCH,
                 "%s: the model has %d layers, but the files have only %d tensors",
                 im->config_file.text, im->config->model->layers, tensors);
}

static rn_status read_model(rn_err *err, importer *im, const char *path) {
  RN_TRY(err, rn_tensor_files_open(err, path, &im->files));
  RN_TRY(err, load_config(err, im, path));
  const rn_json_fields fields = {im->config_json, im->config_file.text};
  rn_err why = {0};
  RN_TRY(err, choose_format(err, im, &fields));
  RN_TRY(err, rn_options_create(err, &im->config));
  RN_TRY(err, im->format->read(err, &fields, im->config));
  RN_TRY(err, check_layers(err, im));
  if (rn_spec_from_config(&why, im->config, im->config->model->vocab, &im->spec) != RN_OK) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s", im->config_file.text, why.text);
  }
  RN_TRY(err, rn_param_table_create(err, &im->spec, 0, im->spec.layers, &im->table));
  im->source = calloc((size_t)im->table->count, sizeof *im->source);
  if (im->source == NULL) return no_memory(err);
  return rn_import_find(err, im->files, im->format, &im->spec, im->table, im->source);
}

/* ---- the checkpoint ---- */

static rn_status write_batch(rn_err *err, importer *im) {
  if (im->slices == 0) return RN_OK;
  RN_TRY(err, rn_grow(err, "list of written parts", (size_t)im->report_count + 1,
                      sizeof *im->reports, &im->reports, &im->report_capacity));
  rn_ckpt_report *report = &im->reports[im->report_count];
  *report = (rn_ckpt_report){0};
  const rn_ckpt_output output = {im->staged.text, 0, im->offset, im->config->checkpoint->level};
  RN_TRY(err, rn_ckpt_write_file(err, output, im->slice, im->slices, report));
  im->report_count++;
  im->offset += report->stored_bytes;
  im->used = 0;
  im->slices = 0;
  return RN_OK;
}

static rn_status add_param(rn_err *err, importer *im, int index) {
  const rn_param *p = &im->table->param[index];
  const rn_tensor_source from = im->source[index];
  const int64_t elements = p->rows * p->cols;
  for (int64_t first = 0, count; first < elements; first += count) {
    if (im->used == BATCH_ELEMENTS || im->slices == BATCH_SLICES) {
      RN_TRY(err, write_batch(err, im));
    }
    const int64_t space = BATCH_ELEMENTS - im->used;
    count = elements - first < space ? elements - first : space;
    float *values = im->batch + im->used;
    RN_TRY(err,
           rn_tensor_files_read(err, im->files, from.tensor, from.first + first, count, values));
    im->slice[im->slices++] = (rn_ckpt_slice){.kind = RETNET__TENSOR_KIND__KIND_WEIGHT,
                                              .name = p->name,
                                              .dims = p->matrix ? 2 : 1,
                                              .shape = {p->rows, p->matrix ? p->cols : 0},
                                              .first = first,
                                              .count = count,
                                              .data = values};
    im->used += count;
  }
  return RN_OK;
}

static rn_status write_weights(rn_err *err, importer *im) {
  im->batch = malloc(BATCH_ELEMENTS * sizeof *im->batch);
  if (im->batch == NULL) return no_memory(err);
  for (int i = 0; i < im->table->count; i++) RN_TRY(err, add_param(err, im, i));
  return write_batch(err, im);
}

/* Returns the step that rn_export wrote into the file, or 0. */
static int64_t noted_step(const importer *im) {
  enum { MAX_DIGITS = 15 };
  const char *text = rn_tensor_files_metadata(im->files, "step");
  if (text == NULL || strlen(text) > MAX_DIGITS || strspn(text, "0123456789") != strlen(text)) {
    return 0;
  }
  return strtoll(text, NULL, 10);
}

/* Fills in the vocabulary. The document token is the configuration's eos_token_id or, if that is a
 * list, its first entry. The strings of `out` belong to `im`. */
static void describe_vocabulary(const importer *im, Retnet__Vocabulary *out) {
  const json_t *end = json_object_get(im->config_json, "eos_token_id");
  if (json_is_array(end)) end = json_array_get(end, 0);
  const json_int_t token = json_is_integer(end) ? json_integer_value(end) : -1;
  const char *tokenizer = rn_tensor_files_metadata(im->files, "tokenizer");
  out->size = im->spec.vocab;
  out->tokenizer = (char *)(tokenizer != NULL ? tokenizer : RN_EXCHANGE_UNKNOWN_TOKENIZER);
  out->has_document_token = token >= 0 && token < im->spec.vocab;
  out->document_token = out->has_document_token ? (int32_t)token : 0;
}

/* Stores the configuration's bos_token_id as the begin token, unless it is the document token,
 * which is the default begin token. */
static void describe_begin(const importer *im, Retnet__Vocabulary *out) {
  const json_t *begin = json_object_get(im->config_json, "bos_token_id");
  const json_int_t token = json_is_integer(begin) ? json_integer_value(begin) : -1;
  if (token < 0 || token >= out->size) return;
  if (out->has_document_token && token == out->document_token) return;
  out->has_begin_token = true;
  out->begin_token = (int32_t)token;
}

/* If the model has a begin token, reports which programs begin a text with it. Prints to stderr,
 * because stdout receives the configuration. */
static void report_begin(const importer *im, const Retnet__Vocabulary *v) {
  if (!v->has_begin_token || !v->has_document_token) return;
  fprintf(stderr,
          "note: %s: texts of this model begin with bos_token_id %d, which retnet-generate and "
          "retnet-eval put before each text. In training, the document token %d is there instead, "
          "so after further training the model expects the document token\n",
          im->config_file.text, v->begin_token, v->document_token);
}

/* Reads the tokenizer from the folder that was given or, if a file was given, from the folder of
 * its config.json. A file that contains its own configuration has no tokenizer. */
static rn_status read_tokenizer(rn_err *err, const importer *im, const char *path,
                                Retnet__Vocabulary *out) {
  const char *first = rn_tensor_files_path(im->files, 0);
  const bool is_file = strcmp(first, path) == 0;
  if (is_file && strcmp(im->config_file.text, first) == 0) return RN_OK;
  return rn_exchange_read_tokenizer(err, is_file ? rn_path_folder(path).text : path, out);
}

static rn_status commit(rn_err *err, importer *im, const char *path, const char *ckpt_path) {
  Retnet__Manifest head = RETNET__MANIFEST__INIT;
  Retnet__Vocabulary vocabulary = RETNET__VOCABULARY__INIT;
  describe_vocabulary(im, &vocabulary);
  head.format = 1;
  head.step = noted_step(im);
  head.seed = im->config->run->seed;
  head.config = im->config;
  head.effective = im->config;
  head.vocabulary = &vocabulary;
  head.build = (char *)rn_version_text();
  head.has_saved_unix_s = 1;
  head.saved_unix_s = (int64_t)time(NULL);
  RN_TRY(err, read_tokenizer(err, im, path, &vocabulary));
  describe_begin(im, &vocabulary);
  const rn_status status =
      rn_ckpt_commit_folder(err, im->staged.text, ckpt_path, &head, im->reports, im->report_count);
  if (status == RN_OK) report_begin(im, &vocabulary);
  rn_exchange_free_tokenizer(&vocabulary);
  return status;
}

static rn_status write_checkpoint(rn_err *err, importer *im, const char *path,
                                  const char *ckpt_path) {
  /* Truncation does no harm: a path that is truncated here is still too long, so creating the file
   * fails. */
  snprintf(im->staged.text, sizeof im->staged.text, "%.*s.tmp", PATH_MAX, ckpt_path);
  RN_TRY(err, rn_file_remove_left(err, im->staged.text));
  /* After a failure, the folder may exist although it is not on the disk yet. */
  rn_status status = rn_file_make_folder(err, im->staged.text);
  if (status == RN_OK) status = write_weights(err, im);
  if (status == RN_OK) status = commit(err, im, path, ckpt_path);
  if (status != RN_OK) rn_file_remove_tree(&(rn_err){0}, im->staged.text);
  return status;
}

/* ---- the command ---- */

typedef struct key_printer {
  const Retnet__Config *config;
  FILE *out;
} key_printer;

static void print_key(void *self, const char *key) {
  const key_printer *printer = self;
  char text[RN_OPTIONS_TEXT_BYTES] = "";
  if (strncmp(key, "model.", 6) != 0 || !rn_options_given(printer->config, key)) return;
  if (!rn_options_text(printer->config, key, text, sizeof text)) return;
  fprintf(printer->out, "  %s: %s\n", key + 6, text);
}

/* Prints the model section that the configuration of a run needs to train from this checkpoint. */
static void print_model(const importer *im, const char *ckpt_path, FILE *out) {
  key_printer printer = {im->config, out};
  fprintf(
      out,
      "# %s: %lld parameters. To train from it, set checkpoint.init_from and use this section:\n",
      ckpt_path, (long long)rn_spec_parameters(&im->spec));
  fprintf(out, "model:\n");
  rn_options_each(print_key, &printer);
}

static void destroy(importer *im) {
  rn_tensor_files_close(&im->files);
  rn_param_table_destroy(&im->table);
  rn_options_free(&im->config);
  json_decref(im->config_json);
  for (int i = 0; i < im->report_count; i++) free(im->reports[i].bytes);
  free(im->reports);
  free(im->source);
  free(im->batch);
  free(im);
}

/* Checks that nothing exists at this path, or only an empty folder. */
static rn_status check_free(rn_err *err, const char *path) {
  bool exists;
  RN_TRY(err, rn_file_find(err, path, &exists));
  if (!exists) return RN_OK;
  DIR *folder = opendir(path);
  if (folder == NULL && errno != ENOTDIR && errno != ENOENT) {
    return rn_file_fail(err, "open directory", path, errno);
  }
  const struct dirent *item;
  bool empty = folder != NULL;
  while (folder != NULL && (errno = 0, item = readdir(folder)) != NULL) {
    empty &= strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0;
  }
  const int error = folder != NULL ? errno : 0;
  if (folder != NULL) closedir(folder);
  if (error != 0) return rn_file_fail(err, "read directory", path, error);
  if (empty) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "--out: %s exists and is not an empty folder", path);
}

rn_status rn_import(rn_err *err, const char *path, const char *ckpt_path, FILE *out) {
  rn_path folder;
  snprintf(folder.text, sizeof folder.text, "%s", ckpt_path);
  for (size_t n = strlen(folder.text); n > 1 && folder.text[n - 1] == '/';) folder.text[--n] = '\0';
  RN_TRY(err, check_free(err, folder.text));
  importer *im = calloc(1, sizeof *im);
  if (im == NULL) return no_memory(err);
  rn_status status = read_model(err, im, path);
  if (status == RN_OK) status = write_checkpoint(err, im, path, folder.text);
  if (status == RN_OK) print_model(im, folder.text, out);
  destroy(im);
  return status;
}
