/* Computes the initial values of parameters. Each value is a function of (seed, tensor name,
 * element). */
#include "model/spec/param.h"
#include "proto/base/random.h"

static double first_value(const rn_param *param, rn_random_key key, int64_t element) {
  switch (param->init) {
    case RN_INIT_ONES:
      return 1.0;
    case RN_INIT_ZEROS:
      break;
    case RN_INIT_UNIFORM:
      return param->spread * (2.0 * rn_random_uniform(key, (uint64_t)element) - 1.0);
    case RN_INIT_NORMAL:
      return param->spread * rn_random_normal(key, (uint64_t)element);
  }
  return 0.0;
}

void rn_param_init_values(const rn_param_table *table, uint64_t seed, int64_t begin, int64_t end,
                          rn_real *values) {
  for (int p = rn_param_at(table, begin); p < table->count; p++) {
    const rn_param *param = &table->param[p];
    if (param->offset >= end) break;
    int64_t from = param->offset > begin ? param->offset : begin;
    int64_t to = param->offset + param->rows * param->cols;
    if (to > end) to = end;
    rn_random_key key = rn_random_key_named(RN_RANDOM_INIT, seed, param->name);
#pragma omp parallel for schedule(static) if (to - from > 4096)
    for (int64_t i = from; i < to; i++) {
      values[i - begin] = (rn_real)first_value(param, key, i - param->offset);
    }
  }
}
