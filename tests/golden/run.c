/* Converts arrays between the doubles of the file and the precision of this build. */
#include "tests/golden/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef RN_REAL_F64
static const golden_precision precision_here = GOLDEN_F64;
#else
static const golden_precision precision_here = GOLDEN_F32;
#endif

rn_status golden_reals(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                       rn_real **out) {
  const double *values;
  const int64_t count = golden_count(shape);
  RN_TRY(err, golden_load(err, c, name, shape, &values));
  RN_TRY(err, golden_take(err, c, count, sizeof **out, out));
  for (int64_t i = 0; i < count; i++) (*out)[i] = (rn_real)values[i];
  return RN_OK;
}

rn_status golden_check(rn_err *err, golden_case *c, const char *variant, const rn_real *got,
                       golden_shape shape, const char *base, ...) {
  char name[256];
  va_list args;
  va_start(args, base);
  vsnprintf(name, sizeof name, base, args);
  va_end(args);
  double *values;
  const int64_t count = golden_count(shape);
  RN_TRY(err, golden_take(err, c, count, sizeof *values, &values));
  for (int64_t i = 0; i < count; i++) values[i] = (double)got[i];
  RN_TRY(err, golden_compare(err, c, precision_here, variant, values, shape, "%s", name));
  return RN_OK;
}

rn_status golden_check_number(rn_err *err, golden_case *c, const char *variant, double got,
                              const char *base) {
  RN_TRY(err, golden_compare(err, c, precision_here, variant, &got, GOLDEN_SHAPE_1(1), "%s", base));
  return RN_OK;
}

void golden_swap(int64_t b, int64_t x, int64_t y, int64_t w, const rn_real *in, rn_real *out) {
  for (int64_t i = 0; i < b * x * y; i++) {
    const int64_t at = ((i / (x * y)) * y + i % y) * x + (i / y) % x;
    memcpy(out + at * w, in + i * w, (size_t)w * sizeof(rn_real));
  }
}

rn_status golden_check_state(rn_err *err, golden_case *c, const char *variant, const rn_spec *spec,
                             int sequences, const rn_real *state, const double *scale,
                             const char *state_base, const char *scale_base) {
  const int heads = spec->heads, K = rn_spec_key_width(spec), V = rn_spec_value_width(spec);
  const golden_shape shape = GOLDEN_SHAPE_4(sequences, heads, V, K);
  double *values;
  RN_TRY(err, golden_take(err, c, golden_count(shape), sizeof *values, &values));
  for (int64_t bh = 0; bh < (int64_t)sequences * heads; bh++) {
    for (int k = 0; k < K; k++) {
      for (int v = 0; v < V; v++) {
        values[(bh * V + v) * K + k] =
            (double)state[(bh * K + k) * V + v] / sqrt(scale[bh % heads]);
      }
    }
  }
  RN_TRY(err, golden_compare(err, c, precision_here, variant, values, shape, "%s", state_base));
  RN_TRY(err, golden_compare(err, c, precision_here, variant, scale, GOLDEN_SHAPE_1(heads), "%s",
                             scale_base));
  return RN_OK;
}

static golden_shape param_shape(const rn_param *param) {
  return param->matrix ? GOLDEN_SHAPE_2(param->rows, param->cols) : GOLDEN_SHAPE_1(param->rows);
}

static void their_name(const rn_param *param, const char *prefix, golden_rename rename, char *name,
                       size_t bytes) {
  char theirs[RN_PARAM_NAME_BYTES];
  if (rename != NULL) {
    rename(param->name, theirs, sizeof theirs);
  } else {
    snprintf(theirs, sizeof theirs, "%s", param->name);
  }
  snprintf(name, bytes, "%s%s", prefix, theirs);
}

static bool is_ours(const rn_param_table *table, const char *prefix, golden_rename rename,
                    const char *array) {
  char name[2 * RN_PARAM_NAME_BYTES];
  for (int i = 0; i < table->count; i++) {
    their_name(&table->param[i], prefix, rename, name, sizeof name);
    if (strcmp(name, array) == 0) return true;
  }
  /* Official state dicts of a tied model contain the embedding under both names. */
  snprintf(name, sizeof name, "%soutput_projection.weight", prefix);
  return table->embedding == table->output && strcmp(name, array) == 0;
}

rn_status golden_params(rn_err *err, golden_case *c, const rn_param_table *table,
                        const char *prefix, golden_rename rename, rn_real **out) {
  char name[2 * RN_PARAM_NAME_BYTES];
  for (int i = 0; i < rn_safetensors_count(c->file); i++) {
    const char *array = rn_safetensors_at(c->file, i)->name;
    if (strncmp(array, prefix, strlen(prefix)) != 0) continue;
    if (is_ours(table, prefix, rename, array)) continue;
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s: the model of this config has no such tensor",
                   c->path, array);
  }
  *out = NULL;
  for (int i = 0; i < table->count; i++) {
    golden_shape found;
    their_name(&table->param[i], prefix, rename, name, sizeof name);
    RN_TRY(err, golden_shape_of(err, c, name, param_shape(&table->param[i]).dims, &found));
  }
  RN_TRY(err, golden_take(err, c, table->total, sizeof **out, out));
  for (int i = 0; i < table->count; i++) {
    const rn_param *param = &table->param[i];
    rn_real *values;
    their_name(param, prefix, rename, name, sizeof name);
    RN_TRY(err, golden_reals(err, c, name, param_shape(param), &values));
    memcpy(*out + param->offset, values, (size_t)(param->rows * param->cols) * sizeof(rn_real));
  }
  return RN_OK;
}

rn_status golden_check_params(rn_err *err, golden_case *c, const char *variant,
                              const rn_param_table *table, const rn_real *values,
                              const char *prefix, golden_rename rename) {
  char name[2 * RN_PARAM_NAME_BYTES];
  for (int i = 0; i < table->count; i++) {
    const rn_param *param = &table->param[i];
    their_name(param, prefix, rename, name, sizeof name);
    RN_TRY(err,
           golden_check(err, c, variant, values + param->offset, param_shape(param), "%s", name));
  }
  return RN_OK;
}
