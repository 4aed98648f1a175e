#include "trainer/run/replica_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/blob.h"
#include "proto/base/arena.h"
#include "proto/base/fault.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* ---- creating ---- */

static rn_status allocate_sums(rn_err *err, size_t tensors, rn_tensor_sums *out) {
  uint64_t **sums[] = {&out->weights, &out->exp_avg, &out->exp_avg_sq};
  for (int i = 0; i < 3; i++) {
    RN_TRY(err, rn_alloc(err, "sums of tensors", tensors, sizeof **sums[i], sums[i]));
  }
  return RN_OK;
}

static rn_status allocate(rn_err *err, rn_replica_check *c) {
  RN_TRY(err, allocate_sums(err, (size_t)c->tensors, &c->own));
  RN_TRY(err, allocate_sums(err, (size_t)c->tensors, &c->now));
  return rn_alloc(err, "sums of tensors", (size_t)c->stages * (size_t)c->max_tensors,
                  sizeof *c->all, &c->all);
}

rn_status rn_replica_check_create(rn_err *err, const rn_run_settings *settings,
                                  rn_checked_state state, rn_replica_check *out) {
  rn_world *world = state.parallel->world;
  int64_t max_tensors = rn_stage_params(state.weights->stage)->count;
  *out = (rn_replica_check){.every = settings->config->train->check_replicas_every,
                            .step = -1,
                            .tensors = (int)max_tensors,
                            .stages = rn_grid_pipeline_size(state.parallel->grid)};
  if (out->every == 0) return RN_OK;
  RN_TRY(err, rn_world_max(err, world, &max_tensors, 1));
  out->max_tensors = (int)max_tensors;
  return rn_agree(err, world, allocate(err, out));
}

static void free_sums(rn_tensor_sums *sums) {
  free(sums->weights);
  free(sums->exp_avg);
  free(sums->exp_avg_sq);
}

void rn_replica_check_destroy(rn_replica_check *check) {
  free_sums(&check->own);
  free_sums(&check->now);
  free(check->all);
  *check = (rn_replica_check){.every = 0};
}

void rn_replica_check_forget(rn_replica_check *check) {
  check->step = -1;
}

/* ---- sums ---- */

static uint64_t sum_floats(const float *values, int64_t count) {
  return count > 0 ? rn_blob_sum(values, (size_t)count * sizeof *values) : 0;
}

/* Returns the buckets that contain elements of a tensor. */
static rn_range buckets_of(const rn_optimizer_shards *shards, const rn_param *p) {
  const int64_t end = p->offset + p->rows * p->cols;
  rn_range out = {0, 0};
  while (rn_optimizer_shards_bucket(shards, (int)out.begin).end <= p->offset) out.begin++;
  out.end = out.begin + 1;
  while (out.end < shards->buckets &&
         rn_optimizer_shards_bucket(shards, (int)out.end).begin < end) {
    out.end++;
  }
  return out;
}

/* Returns the checksum of a whole tensor in this node's copy of the weights. */
static uint64_t copy_sum(const rn_weights *w, const rn_param *p) {
  const rn_optimizer_shards *shards = &w->shards.shards;
  const rn_range buckets = buckets_of(shards, p);
  uint64_t sum = 0;
#pragma omp parallel for schedule(dynamic) if (p->matrix)
  for (int64_t i = buckets.begin * shards->replicas; i < buckets.end * shards->replicas; i++) {
    const rn_range shard =
        rn_optimizer_shards_of(shards, (int)(i / shards->replicas), (int)(i % shards->replicas));
    const rn_range piece = rn_param_within(p, shard);
    const uint64_t part = sum_floats(w->params + piece.begin, rn_range_count(piece));
#pragma omp atomic
    sum += part;
  }
  return sum;
}

/* Computes, for each tensor, the checksum of the part of it that this rank updates. A slice of the
 * shard table is one piece as defined in replica_check.h. */
static void sum_own(rn_checked_state state, int tensors, rn_tensor_sums *out) {
  const rn_shard_table *table = &state.weights->shards;
  const rn_param *first = rn_stage_params(state.weights->stage)->param;
  const size_t bytes = (size_t)tensors * sizeof *out->weights;
  memset(out->weights, 0, bytes);
  memset(out->exp_avg, 0, bytes);
  memset(out->exp_avg_sq, 0, bytes);
#pragma omp parallel for schedule(dynamic)
  for (int i = 0; i < table->slices; i++) {
    const rn_shard_slice *s = &table->slice[i];
    const int64_t t = s->param - first, count = rn_range_count(s->range);
    const uint64_t weights = sum_floats(state.weights->params + s->range.begin, count);
    const uint64_t exp_avg = sum_floats(state.optimizer->exp_avg + s->offset, count);
    const uint64_t exp_avg_sq = sum_floats(state.optimizer->exp_avg_sq + s->offset, count);
#pragma omp atomic
    out->weights[t] += weights;
#pragma omp atomic
    out->exp_avg[t] += exp_avg;
#pragma omp atomic
    out->exp_avg_sq[t] += exp_avg_sq;
  }
}

/* Flips the lowest bit of a number, for tests. */
static void flip(void *value) {
  *(unsigned char *)value ^= 1;
}

/* For tests: flips, in this rank's copy of the weights, a bit of a weight that replica `replica`
 * updates. */
static void flip_weight(const rn_weights *w, int replica) {
  const rn_optimizer_shards *shards = &w->shards.shards;
  int bucket = 0;
  while (bucket < shards->buckets - 1 &&
         rn_range_count(rn_optimizer_shards_of(shards, bucket, replica)) == 0) {
    bucket++;
  }
  flip(w->params + rn_optimizer_shards_of(shards, bucket, replica).begin);
}

void rn_replica_check_record(rn_replica_check *c, rn_checked_state state, int64_t step) {
  if (c->every == 0 || step % c->every != 0) return;
  rn_span_phase("sums of weights");
  sum_own(state, c->tensors, &c->own);
  c->step = step;
  if (rn_fault_now("replica.moment")) flip(state.optimizer->exp_avg);
}

/* ---- checking ---- */

/* Fails with a text about a tensor; `format` contains one %s for its name. */
__attribute__((format(printf, 5, 0))) static rn_status fail_at(rn_err *err,
                                                               const rn_replica_check *c,
                                                               rn_checked_state state, int tensor,
                                                               const char *format) {
  char what[400];
  const rn_world *world = state.parallel->world;
  snprintf(what, sizeof what, format, rn_stage_params(state.weights->stage)->param[tensor].name);
  return rn_fail(err, RN_ERR_MISMATCH,
                 "%s after step %lld (rank %d, host %s): a bit has flipped in the memory or the "
                 "network of this host; do not use the host until it is tested",
                 what, (long long)c->step, rn_world_rank(world), rn_world_host(world));
}

/* Checks that this rank's weights and moments have not changed since they were updated. */
static rn_status check_own(rn_err *err, rn_replica_check *c, rn_checked_state state) {
  sum_own(state, c->tensors, &c->now);
  for (int t = 0; t < c->tensors; t++) {
    if (c->now.weights[t] != c->own.weights[t])
      return fail_at(err, c, state, t, "the weights of %s were corrupted in memory");
    if (c->now.exp_avg[t] != c->own.exp_avg[t])
      return fail_at(err, c, state, t, "the first moments of %s were corrupted in memory");
    if (c->now.exp_avg_sq[t] != c->own.exp_avg_sq[t])
      return fail_at(err, c, state, t, "the second moments of %s were corrupted in memory");
  }
  return RN_OK;
}

/* Checks this rank's share of the tensors in the copy of the weights that this node uses. */
static rn_status check_copy(rn_err *err, const rn_replica_check *c, rn_checked_state state) {
  const rn_weights *w = state.weights;
  const rn_param_table *table = rn_stage_params(w->stage);
  const int64_t *all = c->all + (int64_t)rn_grid_pipeline(state.parallel->grid) * c->max_tensors;
  for (int t = rn_node_index(w->node); t < c->tensors; t += rn_node_size(w->node)) {
    if (copy_sum(w, &table->param[t]) == (uint64_t)all[t]) continue;
    return fail_at(err, c, state, t,
                   "this copy of the weights of %s differs from the computed weights");
  }
  return RN_OK;
}

/* Adds up, for each tensor, the checksums that all ranks stored of their shards, into c->all. */
static rn_status sum_owners(rn_err *err, rn_replica_check *c, rn_checked_state state) {
  const int count = c->stages * c->max_tensors;
  int64_t *mine = c->all + (int64_t)rn_grid_pipeline(state.parallel->grid) * c->max_tensors;
  memset(c->all, 0, (size_t)count * sizeof *c->all);
  memcpy(mine, c->own.weights, (size_t)c->tensors * sizeof *mine);
  return rn_world_sum(err, state.parallel->world, c->all, count);
}

/* Agrees on the result of a check. */
static rn_status agree(rn_err *err, rn_replica_check *c, const rn_world *world, rn_status status) {
  const rn_status agreed = rn_agree(err, world, status);
  if (agreed == RN_ERR_MISMATCH) c->damaged = true;
  return agreed;
}

rn_status rn_replica_check_verify(rn_err *err, rn_replica_check *c, rn_checked_state state) {
  if (c->step < 0) return RN_OK;
  const rn_world *world = state.parallel->world;
  rn_span_phase("check of weights");
  rn_progress_phase("check weights");
  const int replica = rn_grid_replica(state.parallel->grid);
  if (rn_fault_now("replica.weight")) flip_weight(state.weights, replica);
  if (rn_fault_now("replica.copy")) {
    flip_weight(state.weights, (replica + 1) % rn_grid_replica_size(state.parallel->grid));
  }
  RN_TRY(err, sum_owners(err, c, state));
  RN_TRY(err, agree(err, c, world, check_own(err, c, state)));
  RN_TRY(err, agree(err, c, world, check_copy(err, c, state)));
  c->step = -1;
  return RN_OK;
}

/* Computes, for each tensor, the checksum of this rank's shards of the reduced gradient, into `out`
 * [tensors]. */
static void sum_gradient(rn_checked_state state, int tensors, uint64_t *out) {
  const rn_optimizer *o = state.optimizer;
  const rn_shard_table *table = &state.weights->shards;
  const rn_param *first = rn_stage_params(state.weights->stage)->param;
  const size_t bytes = o->is_exact ? sizeof *o->exact : sizeof *o->gradient;
  const char *values = o->is_exact ? (const char *)o->exact : (const char *)o->gradient;
  memset(out, 0, (size_t)tensors * sizeof *out);
  for (int i = 0; i < table->slices; i++) {
    const rn_shard_slice *s = &table->slice[i];
    out[s->param - first] +=
        rn_blob_sum(values + (size_t)s->offset * bytes, (size_t)rn_range_count(s->range) * bytes);
  }
}

rn_status rn_replica_check_gradients(rn_err *err, rn_replica_check *c, rn_checked_state state) {
  rn_optimizer *o = state.optimizer;
  rn_status status = RN_OK;
  if (c->step < 0 || o->single_replica) return RN_OK;
  rn_span_phase("check of gradients");
  rn_progress_phase("check gradients");
  if (rn_fault_now("replica.gradient")) flip(o->is_exact ? (void *)o->exact : (void *)o->gradient);
  sum_gradient(state, c->tensors, c->now.weights);
  RN_TRY(err, rn_optimizer_repeat_exchange(err, o));
  sum_gradient(state, c->tensors, c->now.exp_avg);
  for (int t = 0; t < c->tensors && status == RN_OK; t++) {
    if (c->now.weights[t] == c->now.exp_avg[t]) continue;
    status = fail_at(err, c, state, t, "two exchanges of the gradient of %s gave different sums");
  }
  return agree(err, c, state.parallel->world, status);
}
