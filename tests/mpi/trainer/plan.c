/*
 * Checks that estimating the time of a plan needs little memory for any model. The time is measured
 * on layers with reduced widths for the largest preset, and with unchanged widths for a small
 * model. The plan reports the measured widths.
 */
#include "tests/support/check.h"
#include "trainer/estimate/plan_time.h"

#include <string.h>

#include "model/kernel/gemm.h"
#include "proto/options/options.h"
#include "tests/support/world.h"

static rn_err err;

static void sample_of(rn_world *world, const char *const *keys, int count, rn_plan_sample *out) {
  Retnet__Config *config = NULL;
  rn_spec spec;
  rn_plan plan;
  rn_plan_time time;
  const rn_machine machine = {.cores = 2, .ranks = 2, .threads = 1};
  const char *lack = NULL;
  CHECK_OK(&err, rn_options_load(&err, NULL, keys, count, &config));
  CHECK_OK(&err,
           rn_gemm_backend_use(&err, config->model->products, config->train->precision, &lack));
  CHECK_OK(&err, rn_spec_from_config(&err, config, 0, &spec));
  CHECK_OK(&err, rn_plan_create_any(&err, config, &spec, 64, machine, &plan));
  CHECK_OK(&err, rn_plan_sample_take(&err, config, world, &plan, &spec, out));
  CHECK_OK(&err, rn_plan_time_estimate(&err, config, &plan, out, &time));
  CHECK(time.units_s > 0 && time.sums_s >= 0 && time.update_s >= 0 && time.idle_s >= 0);
  rn_plan_destroy(&plan);
  rn_options_free(&config);
}

int main(int argc, char **argv) {
  static const char *const large[] = {"model.preset=retnet_65b", "model.vocab=50304",
                                      "data.sequence_length=8192", "data.batch_sequences=64"};
  static const char *const small[] = {"model.layers=2",
                                      "model.dim=32",
                                      "model.value_dim=64",
                                      "model.ffn_dim=48",
                                      "model.heads=2",
                                      "model.vocab=99",
                                      "data.sequence_length=128",
                                      "data.batch_sequences=64",
                                      "run.reproducible=true"};
  rn_world *world = NULL;
  rn_plan_sample sample;
  const rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  sample_of(world, small, 9, &sample);
  CHECK(strstr(sample.text, "dim ") == NULL &&
        strstr(sample.text, "scaled by the number of rows") != NULL);
  CHECK_EQUAL((int)sample.rows, 128);
  sample_of(world, large, 4, &sample);
  CHECK(strstr(sample.text, " of 8192, ffn_dim ") != NULL);
  CHECK(strstr(sample.text,
               " of 50304; times scaled by the number of rows; in addition, the time of GEMMs") !=
        NULL);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(rn_machine_peak_bytes() < (int64_t)500 * 1000 * 1000);
#endif
  return test_finish_world(&err, &world);
}
