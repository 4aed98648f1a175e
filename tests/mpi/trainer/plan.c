/*
 * Checks that estimating the time of a plan needs little memory for any model. The time is measured
 * on layers with reduced widths for the largest preset, and with unchanged widths for a small
 * model. The plan reports the measured widths.
 *
 * Checks that ranks with different numbers of threads plan the same memory, that of the largest
 * number, and that different layouts are an error that names both.
 */
#include "tests/support/check.h"
#include "trainer/estimate/plan_time.h"

#include <stdio.h>
#include <string.h>

#include "model/base/threads.h"
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

static void plan_for(rn_machine machine, rn_plan *out) {
  static const char *const keys[] = {"model.vocab=99", "data.batch_sequences=64"};
  Retnet__Config *config = NULL;
  rn_spec spec;
  CHECK_OK(&err, rn_options_load(&err, NULL, keys, 2, &config));
  CHECK_OK(&err, rn_spec_from_config(&err, config, 0, &spec));
  CHECK_OK(&err, rn_plan_create_any(&err, config, &spec, 64, machine, out));
  rn_options_free(&config);
}

static void ranks_plan_for_the_most_threads(rn_world *world) {
  rn_machine machine = {.cores = 2, .ranks = 2, .threads = 3 + 2 * rn_world_rank(world)};
  const int threads = rn_threads(), most = 1 + 2 * rn_world_size(world);
  rn_plan plan, same;
  CHECK_OK(&err, rn_machine_agree_threads(&err, world, &machine));
  CHECK_EQUAL(machine.max_threads, most);
  plan_for(machine, &plan);
  CHECK_EQUAL(rn_threads(), threads);
  rn_threads_assume(most);
  plan_for((rn_machine){.cores = 2, .ranks = 2}, &same);
  rn_threads_assume(threads);
  CHECK_EQUAL(rn_plan_node_bytes(&plan), rn_plan_node_bytes(&same));
  CHECK_OK(&err, rn_plan_check_same(&err, world, &plan));
  rn_plan_destroy(&plan);
  rn_plan_destroy(&same);
}

static void different_layouts_are_named(rn_world *world) {
  const int last = rn_world_size(world) - 1;
  rn_plan plan = {.layout = {.data = 7, .pipeline = 1, .sequence = 1}};
  char words[120];
  if (last == 0) return;
  if (rn_world_rank(world) == last) plan.layout.pipeline = 5;
  snprintf(words, sizeof words, "rank %d on |data 7 x pipeline 5|rank 0 plans data 7 x pipeline 1",
           last);
  CHECK_FAILS(&err, RN_ERR_MISMATCH, words, rn_plan_check_same(&err, world, &plan));
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
  ranks_plan_for_the_most_threads(world);
  different_layouts_are_named(world);
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
