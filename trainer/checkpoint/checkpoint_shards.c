#include "trainer/checkpoint/checkpoint_shards.h"

enum { KINDS = 3 }; /* weights, first and second moments */

int rn_shards_max_slices(const rn_weights *weights) {
  return KINDS * weights->shards.slices;
}

int rn_shards_slices(const rn_weights *weights, const rn_optimizer *optimizer,
                     rn_ckpt_slice *slices) {
  int count = 0;
  for (int i = 0; i < weights->shards.slices; i++) {
    const rn_shard_slice *shard = &weights->shards.slice[i];
    const rn_param *p = shard->param;
    if (p->copy) continue;
    const float *const data[KINDS] = {weights->params + shard->range.begin,
                                      optimizer->exp_avg + shard->offset,
                                      optimizer->exp_avg_sq + shard->offset};
    for (int kind = 0; kind < KINDS; kind++) {
      slices[count++] = (rn_ckpt_slice){.kind = (Retnet__TensorKind)kind,
                                        .name = p->name,
                                        .dims = p->matrix ? 2 : 1,
                                        .shape = {p->rows, p->matrix ? p->cols : 0},
                                        .first = shard->range.begin - p->offset,
                                        .count = rn_range_count(shard->range),
                                        .data = data[kind]};
    }
  }
  return count;
}

/* Checks that the checkpoint has moments; an imported checkpoint has none. */
static rn_status check_moments(rn_err *err, const rn_ckpt *ckpt, const rn_param_table *table) {
  const char *name = table->param[0].name;
  if (rn_ckpt_tensor(ckpt, RETNET__TENSOR_KIND__KIND_EXP_AVG, name) != NULL) return RN_OK;
  return rn_fail(
      err, RN_ERR_USAGE,
      "%s contains only weights, so no run can be resumed from it; to start a new run with these "
      "weights, set checkpoint.init_from to this checkpoint and choose a new run.dir",
      rn_ckpt_path(ckpt));
}

static rn_status check_tensors(rn_err *err, rn_ckpt *ckpt, const rn_param_table *table) {
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    const Retnet__Tensor *tensor = rn_ckpt_tensor(ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, p->name);
    if (tensor != NULL && rn_ckpt_elements(tensor) == p->rows * p->cols) continue;
    return rn_fail(err, RN_ERR_USAGE,
                   "%s contains a different model: tensor %s is missing or has another size",
                   rn_ckpt_path(ckpt), p->name);
  }
  return RN_OK;
}

rn_status rn_shards_load(rn_err *err, rn_ckpt *ckpt, rn_weights *weights, rn_optimizer *optimizer) {
  RN_TRY(err, check_tensors(err, ckpt, rn_stage_params(weights->stage)));
  if (optimizer != NULL) RN_TRY(err, check_moments(err, ckpt, rn_stage_params(weights->stage)));
  for (int i = 0; i < weights->shards.slices; i++) {
    const rn_shard_slice *shard = &weights->shards.slice[i];
    const char *name = shard->param->name;
    const int64_t first = shard->range.begin - shard->param->offset;
    const rn_range range = {first, first + rn_range_count(shard->range)};
    RN_TRY(err, rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, name, range,
                             weights->params + shard->range.begin));
    if (optimizer == NULL) continue;
    RN_TRY(err, rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_EXP_AVG, name, range,
                             optimizer->exp_avg + shard->offset));
    RN_TRY(err, rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_EXP_AVG_SQ, name, range,
                             optimizer->exp_avg_sq + shard->offset));
  }
  return RN_OK;
}
