#include "trainer/bench/bench_cost.h"

#include "model/kernel/gemm.h"
#include "trainer/parallel/shapes.h"

rn_step_cost rn_bench_cost(const rn_run *run) {
  const Retnet__Config *config = run->settings.config;
  const rn_layout *l = &run->settings.plan.layout;
  const rn_pipeline_schedule_shape *schedule = &run->model.pipeline.schedule;
  const bool bf16 = rn_gemm_takes_bf16();
  const rn_cost_rates rates = rn_cost_rates_typical(bf16);
  const rn_cost_unit unit = {
      .spec = &run->settings.spec,
      .sequences = l->microbatch,
      .tokens = rn_shapes_tokens(config, l),
      .before = rn_shapes_tokens_before(config, l),
      .reduction_block = l->reduction_block,
      .bf16 = bf16,
      .recompute = config->train->recompute != RETNET__RECOMPUTE__RECOMPUTE_NONE};
  const int64_t units = (int64_t)schedule->microbatches * schedule->segments;
  rn_step_cost cost = rn_step_cost_start(run->settings.machine.threads);
  rn_step_cost_add_layers(&cost, rates, &unit, run->parallel.layers, units);
  rn_step_cost_add_ends(&cost, rates, &unit, units);
  rn_step_cost_add_update(&cost, rates, (int64_t)run->model.weights.total);
  return cost;
}
