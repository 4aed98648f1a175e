#include "trainer/checkpoint/checkpoint_model.h"

#include <math.h>
#include <stdlib.h>

#include "data/file/blob.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"

static void warn(void *context, const char *line) {
  (void)context;
  rn_log_warn("%s", line);
}

/* Counts the weights that are not finite. Warns if there are any: the run has diverged, and the
 * model's output is meaningless. */
static void count_not_finite(rn_checkpoint_model *l) {
  const char *first = NULL;
  for (int i = 0; i < l->table->count; i++) {
    const rn_param *p = &l->table->param[i];
    for (int64_t n = 0; n < p->rows * p->cols; n++) {
      if (isfinite(l->params[p->offset + n])) continue;
      if (l->not_finite++ == 0) first = p->name;
    }
  }
  if (first == NULL) return;
  rn_log_warn(
      "%s: %lld of %lld weights are not finite, the first one in %s: the run had diverged; use an "
      "earlier checkpoint",
      rn_ckpt_path(l->ckpt), (long long)l->not_finite, (long long)l->table->total, first);
}

/* Checks the number of layers, because a wrong number could require a huge parameter table. */
static rn_status check_layers(rn_err *err, const rn_checkpoint_model *l) {
  const int layers = rn_ckpt_config(l->manifest)->model->layers;
  if (layers <= 0 || (size_t)layers <= l->manifest->n_tensor) return RN_OK;
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s is damaged: its model has %d layers, but the checkpoint contains only %zu tensors",
      rn_ckpt_path(l->ckpt), layers, l->manifest->n_tensor);
}

static rn_status load(rn_err *err, rn_checkpoint_model *l) {
  l->manifest = rn_ckpt_manifest(l->ckpt);
  RN_TRY(err, check_layers(err, l));
  RN_TRY(err, rn_spec_from_config(err, rn_ckpt_config(l->manifest), l->manifest->vocabulary->size,
                                  &l->spec));
  RN_TRY(err, rn_param_table_create(err, &l->spec, 0, l->spec.layers, &l->table));
  RN_TRY(err, rn_alloc(err, "weights", (size_t)l->table->total, sizeof(float), &l->params));
  for (int i = 0; i < l->table->count; i++) {
    const rn_param *p = &l->table->param[i];
    RN_TRY(err, rn_ckpt_read(err, l->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, p->name,
                             (rn_range){0, p->rows * p->cols}, l->params + p->offset));
  }
  count_not_finite(l);
  return RN_OK;
}

rn_status rn_checkpoint_model_open_found(rn_err *err, const char *step_path,
                                         rn_checkpoint_model *out) {
  *out = (rn_checkpoint_model){0};
  rn_status status = rn_ckpt_open(err, step_path, &out->ckpt);
  if (status == RN_OK) status = load(err, out);
  if (status != RN_OK) rn_checkpoint_model_close(out);
  return status;
}

rn_status rn_checkpoint_model_open(rn_err *err, const char *path, rn_checkpoint_model *out) {
  enum { MAX_TRIES = 16 };
  const rn_ckpt_notes notes = {.report = warn};
  for (int i = 1;; i++) {
    *out = (rn_checkpoint_model){0};
    RN_TRY(err, rn_ckpt_find(err, path, false, &notes, &out->ckpt));
    const rn_status status = load(err, out);
    if (status == RN_OK) return RN_OK;
    const bool gone = rn_file_is_missing(rn_ckpt_path(out->ckpt)) && !rn_ckpt_is_step_folder(path);
    rn_checkpoint_model_close(out);
    if (!gone || i == MAX_TRIES) return status;
    rn_err_clear(err);
  }
}

rn_status rn_checkpoint_model_hash(rn_err *err, const rn_checkpoint_model *l, uint64_t *out) {
  Retnet__Model keys = *rn_ckpt_config(l->manifest)->model;
  keys.has_chunk = keys.has_products = keys.has_dropout = 0;
  const size_t bytes = retnet__model__get_packed_size(&keys);
  unsigned char *packed;
  RN_TRY(err, rn_alloc(err, "keys of the model", bytes, 1, &packed));
  retnet__model__pack(&keys, packed);
  const uint64_t sums[2] = {rn_blob_sum(packed, bytes),
                            rn_blob_sum(l->params, (size_t)l->table->total * sizeof *l->params)};
  free(packed);
  *out = rn_blob_sum(sums, sizeof sums);
  return RN_OK;
}

void rn_checkpoint_model_close(rn_checkpoint_model *loaded) {
  rn_ckpt_close(&loaded->ckpt);
  rn_param_table_destroy(&loaded->table);
  free(loaded->params);
  *loaded = (rn_checkpoint_model){0};
}
