#include "tests/support/model_ckpt.h"

#include <stdlib.h>

#include "model/spec/param.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

static float value_of(int kind, int tensor, int64_t i) {
  return fake_value(3, kind, tensor, i);
}

static rn_status save_slices(const char *run, const model_ckpt *r, const Retnet__Manifest *head,
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

const char *model_ckpt_save(const char *name, model_ckpt r) {
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
