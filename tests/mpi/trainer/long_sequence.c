/*
 * Checks that the gradient of one sequence of 65 536 tokens on many ranks agrees with that on one
 * rank: for each parameter to 1e-4 of its norm. Each rank checks its own part. The states of some
 * heads decay over thousands of tokens, so that they affect all pieces.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/world.h"
#include "trainer/run/step.h"

static rn_err err;

/* Synthetic tokens depend only on their index, so that they are the same on every layout. */
static rn_status load(int sequence, Retnet__Config **config) {
  char key[64];
  snprintf(key, sizeof key, "parallel.sequence=%d", sequence);
  const char *keys[] = {"model.layers=2",
                        "model.dim=64",
                        "model.value_dim=128",
                        "model.ffn_dim=128",
                        "model.heads=8",
                        "model.vocab=257",
                        "parallel.data=1",
                        "data.batch_sequences=1",
                        "data.sequence_length=65536",
                        "run.dir=RUN",
                        "parallel.threads=1",
                        "train.recompute=block",
                        key};
  return rn_options_load(&err, NULL, keys, sizeof keys / sizeof keys[0], config);
}

/* Runs one step and returns its loss. The gradient of this rank's weights is then in `run`. */
static double step_on(rn_world *world, int sequence, rn_run *run) {
  Retnet__Config *config = NULL;
  rn_step_result result = {.loss = NAN};
  *run = (rn_run){0};
  if (CHECK_OK(&err, load(sequence, &config)) &&
      CHECK_OK(&err, rn_run_create(&err, config, world, run))) {
    CHECK_OK(&err, rn_step(&err, run, &result));
  }
  rn_options_free(&config);
  return result.loss;
}

/* Compares the part of each gradient that this rank reduces with the single rank's gradient. */
static void compare(const rn_run *run, const float *whole) {
  const rn_param_table *table = rn_stage_params(run->model.pipeline.stage);
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    double norm = 0, difference = 0;
    for (int64_t j = p->offset; j < p->offset + p->rows * p->cols; j++) {
      norm += (double)whole[j] * (double)whole[j];
    }
    for (int k = 0; k < run->model.weights.shards.slices; k++) {
      const rn_shard_slice *piece = &run->model.weights.shards.slice[k];
      if (piece->param != p) continue;
      for (int64_t j = piece->range.begin; j < piece->range.end; j++) {
        const float mine = run->optimizer.gradient[piece->offset + j - piece->range.begin];
        difference += pow((double)mine - (double)whole[j], 2);
      }
    }
    CHECK(norm > 0);
    if (!CHECK(sqrt(difference) <= 1e-4 * sqrt(norm))) {
      fprintf(stderr, "%s: off by %.2g of its norm\n", p->name, sqrt(difference / norm));
    }
  }
}

static float *gradient_of_one(rn_world *world, int64_t *total, double *loss) {
  rn_world *single_rank = NULL;
  rn_run run = {0};
  float *gradient = NULL;
  const int rank = rn_world_rank(world);
  CHECK_OK(&err, rn_world_split(&err, world, rank == 0 ? 0 : -1, &single_rank));
  if (rank == 0) {
    *loss = step_on(single_rank, 1, &run);
    *total = run.model.weights.total;
    gradient = malloc((size_t)run.model.weights.total * sizeof *gradient);
    memcpy(gradient, run.optimizer.gradient, (size_t)run.model.weights.total * sizeof *gradient);
    rn_run_destroy(&run);
  }
  rn_world_close(&single_rank);
  CHECK_OK(&err, rn_world_broadcast(&err, world, loss, sizeof *loss));
  CHECK_OK(&err, rn_world_broadcast(&err, world, total, sizeof *total));
  if (rank != 0) gradient = malloc((size_t)*total * sizeof *gradient);
  CHECK_OK(&err, rn_world_broadcast(&err, world, gradient, (size_t)*total * sizeof *gradient));
  return gradient;
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_run run;
  double loss = NAN;
  int64_t total = 0;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  float *whole = gradient_of_one(world, &total, &loss);
  CHECK_NEAR(step_on(world, rn_world_size(world), &run), loss, 1e-6);
  if (check_failures() == 0) compare(&run, whole);
  rn_run_destroy(&run);
  free(whole);
  return test_finish_world(&err, &world);
}
