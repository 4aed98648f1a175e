#include "trainer/bench/bench_config.h"

#include <stdio.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "model/spec/preset.h"
#include "model/spec/spec_attention.h"
#include "proto/options/options.h"
#include "trainer/config/config_check.h"
#include "trainer/launch/gemm_agree.h"
#include "trainer/machine/machine.h"

enum { MAX_KEYS = 64, PRECISION_BYTES = 40 };

/* Defaults of the reference step, for keys that neither the command line nor its preset sets. */
static const struct {
  const char *key, *value;
} reference[] = {{"model.layers", "8"},
                 {"model.dim", "512"},
                 {"model.value_dim", "1024"},
                 {"model.ffn_dim", "1024"},
                 {"model.heads", "4"},
                 {"model.vocab", "256"},
                 {"data.sequence_length", "2048"},
                 {"data.batch_sequences", "1"}};
enum { REFERENCE_KEYS = sizeof reference / sizeof reference[0] };

/* Creates a configuration with only the keys that the preset of `config` sets, if it has one. */
static rn_status keys_of_preset(rn_err *err, const Retnet__Config *config, Retnet__Config **out) {
  const char *name = config->model->preset;
  RN_TRY(err, rn_options_create(err, out));
  return name != NULL && name[0] != '\0' ? rn_preset_keys(err, name, (*out)->model) : RN_OK;
}

static rn_status complete(rn_err *err, Retnet__Config *config) {
  Retnet__Config *preset = NULL;
  const bool transformer = config->model->arch == RETNET__ARCH__ARCH_TRANSFORMER;
  rn_status status = keys_of_preset(err, config, &preset);
  if (status == RN_OK) rn_spec_fit_preset(config->model, preset->model);
  for (int i = 0; status == RN_OK && i < REFERENCE_KEYS; i++) {
    const char *key = reference[i].key;
    if (rn_options_given(config, key) || rn_options_given(preset, key)) continue;
    if (transformer && strcmp(key, "model.value_dim") == 0) continue;
    status = rn_options_set(err, config, "reference step", key, reference[i].value);
  }
  if (status == RN_OK) rn_options_merge(config, preset);
  rn_options_free(&preset);
  return status;
}

rn_status rn_bench_check_precision(rn_err *err, const rn_bench_options *options) {
  static const char key[] = "train.precision=";
  for (int i = 0; options->precision != NULL && i < options->keys.count; i++) {
    if (strncmp(options->keys.word[i], key, sizeof key - 1) != 0) continue;
    return rn_fail(err, RN_ERR_USAGE, "use either --precision or -s train.precision, not both");
  }
  return RN_OK;
}

rn_status rn_bench_config(rn_err *err, const rn_bench_options *options, Retnet__Config **out) {
  const char *keys[MAX_KEYS];
  char precision[PRECISION_BYTES];
  int count = 0;
  if (options->keys.count > MAX_KEYS - 1) {
    return rn_fail(err, RN_ERR_USAGE, "more than %d -s options", MAX_KEYS - 1);
  }
  RN_TRY(err, rn_bench_check_precision(err, options));
  for (int i = 0; i < options->keys.count; i++) keys[count++] = options->keys.word[i];
  if (options->precision != NULL) {
    snprintf(precision, sizeof precision, "train.precision=%s", options->precision);
    keys[count++] = precision;
  }
  RN_TRY(err, rn_options_load(err, NULL, keys, count, out));
  RN_TRY(err, complete(err, *out));
  return rn_config_check(err, *out);
}

static rn_status load(rn_err *err, const rn_bench_options *options, Retnet__Config **out) {
  RN_TRY(err, rn_bench_config(err, options, out));
  const char *lack = NULL;
  RN_TRY(err, rn_gemm_backend_use(err, (*out)->model->products, (*out)->train->precision, &lack));
  if (lack == NULL) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "cannot measure train.precision bf16: %s", lack);
}

rn_status rn_bench_start(rn_err *err, rn_world *world, const rn_bench_options *options,
                         Retnet__Config **config, int *threads) {
  rn_machine machine;
  RN_TRY(err, rn_agree(err, world, load(err, options, config)));
  RN_TRY(err, rn_gemm_agree(err, world));
  RN_TRY(err, rn_machine_query(err, world, *config, 0, &machine));
  int64_t negated = -machine.threads;
  RN_TRY(err, rn_world_max(err, world, &negated, 1));
  *threads = (int)-negated;
  rn_threads_start(*threads);
  return RN_OK;
}

void rn_bench_precision(const Retnet__Config *config, char *text, size_t bytes) {
  rn_options_text(config, "train.precision", text, bytes);
}
