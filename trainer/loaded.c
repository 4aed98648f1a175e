#include "trainer/loaded.h"

#include <stdlib.h>

#include "proto/arena.h"
#include "proto/log.h"

static void warn(void *context, const char *line) {
  (void)context;
  rn_log_warn("%s", line);
}

static rn_status load(rn_err *err, const char *path, rn_loaded *l) {
  const rn_ckpt_notes notes = {.tell = warn};
  RN_TRY(err, rn_ckpt_find(err, path, false, &notes, &l->ckpt));
  l->manifest = rn_ckpt_manifest(l->ckpt);
  RN_TRY(err, rn_spec_from_config(err, rn_ckpt_config(l->manifest), l->manifest->vocabulary->size,
                                  &l->spec));
  RN_TRY(err, rn_param_table_create(err, &l->spec, 0, l->spec.layers, &l->table));
  RN_TRY(err, rn_alloc(err, "weights", (size_t)l->table->total, sizeof(float), &l->params));
  for (int i = 0; i < l->table->count; i++) {
    const rn_param *p = &l->table->param[i];
    RN_TRY(err, rn_ckpt_read(err, l->ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, p->name, 0,
                             p->rows * p->cols, l->params + p->offset));
  }
  return RN_OK;
}

rn_status rn_loaded_open(rn_err *err, const char *path, rn_loaded *out) {
  *out = (rn_loaded){0};
  rn_status status = load(err, path, out);
  if (status != RN_OK) rn_loaded_close(out);
  return status;
}

void rn_loaded_close(rn_loaded *loaded) {
  rn_ckpt_close(&loaded->ckpt);
  rn_param_table_destroy(&loaded->table);
  free(loaded->params);
  *loaded = (rn_loaded){0};
}
