#include "trainer/optimizer/distributed_optimizer.h"

static rn_status wait_for_bucket(rn_err *err, rn_distributed_optimizer *x, int bucket) {
  if (rn_weights_gather_is_complete(x->weights, bucket)) return RN_OK;
  const bool acquired = rn_comm_thread_acquire(x->comm_thread);
  rn_status status = rn_weights_gather_wait(err, x->weights, bucket);
  if (acquired) rn_comm_thread_release(x->comm_thread);
  return status;
}

static rn_status wait(rn_err *err, void *self, int group) {
  rn_distributed_optimizer *x = self;
  const int bucket = x->shard_table->first[group + 1] - 1;
  RN_TRY(err, wait_for_bucket(err, x, bucket));
  return rn_weights_gather_write(err, x->weights, bucket);
}

static void added(void *self, int group) {
  rn_distributed_optimizer *x = self;
  if (!x->last || group == x->held || x->err.status != RN_OK) return;
  const bool acquired = rn_comm_thread_acquire(x->comm_thread);
  rn_distributed_optimizer_add(&x->err, x, group);
  if (acquired) rn_comm_thread_release(x->comm_thread);
}

rn_layer_group_port rn_distributed_optimizer_port(rn_distributed_optimizer *optimizer) {
  return (rn_layer_group_port){.self = optimizer, .wait = wait, .added = added};
}

static rn_stage_region gradient_of(const rn_distributed_optimizer *x, int bucket) {
  return (rn_stage_region){.array = x->gradient,
                           .range = rn_optimizer_shards_bucket(&x->shard_table->shards, bucket)};
}

rn_status rn_distributed_optimizer_add(rn_err *err, rn_distributed_optimizer *x, int group) {
  for (int b = x->shard_table->first[group]; b < x->shard_table->first[group + 1]; b++) {
    void *gradient;
    RN_TRY(err, rn_stage_map(err, x->stage, gradient_of(x, b), RN_ACCESS_READ, &gradient));
    RN_TRY(err, rn_reduce_scatter_start(err, x->reduce_scatter, b, gradient));
  }
  return RN_OK;
}

rn_status rn_distributed_optimizer_finish(rn_err *err, rn_distributed_optimizer *x) {
  if (x->err.status != RN_OK) return rn_fail(err, x->err.status, "%s", x->err.text);
  RN_TRY(err, rn_reduce_scatter_finish(err, x->reduce_scatter));
  for (int b = 0; b < x->shard_table->shards.buckets; b++) {
    RN_TRY(err, rn_stage_unmap(err, x->stage, gradient_of(x, b), RN_ACCESS_READ));
  }
  return rn_weights_gather_finish(err, x->weights);
}
