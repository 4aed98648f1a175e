#include "trainer/plan_show.h"

#include <stdlib.h>

#include "data/split.h"
#include "model/kernel/products.h"
#include "proto/arena.h"
#include "proto/clock.h"
#include "proto/log.h"
#include "trainer/plan.h"
#include "trainer/shapes.h"

/* FLOP/s of one thread's products, from a few of middling size. */
static rn_status measure_products(rn_err *err, double *flops_per_s) {
  enum { SIDE = 512, ROUNDS = 5 };
  const double flops = 2.0 * SIDE * SIDE * SIDE;
  float *a;
  RN_TRY(err, rn_alloc(err, "a product", 3 * (size_t)SIDE * SIDE, sizeof *a, &a));
  double best_s = 1e9;
  for (int i = 0; i < ROUNDS; i++) {
    const double begin_s = rn_clock_s();
    rn_products_table()->nt(SIDE, SIDE, SIDE, 1, a, SIDE, a + SIDE * SIDE, SIDE, 0,
                            a + 2 * SIDE * SIDE, SIDE);
    const double took_s = rn_clock_s() - begin_s;
    if (took_s < best_s) best_s = took_s;
  }
  free(a);
  *flops_per_s = flops / best_s;
  return RN_OK;
}

/* The vocabulary is the data's where the model's key leaves it open. */
static rn_status read_spec(rn_err *err, const Retnet__Config *config, rn_spec *spec) {
  rn_split split = {0};
  if (config->model->vocab > 0) return rn_spec_from_config(err, config, 0, spec);
  RN_TRY(err, rn_split_open(err, config->data->dir, "train", &split));
  rn_status status =
      rn_spec_from_config(err, config, (int)rn_split_header(&split)->vocabulary, spec);
  rn_split_close(&split);
  return status;
}

static double mib(size_t bytes) {
  return (double)bytes / (1 << 20);
}

static void show_layout(const rn_plan *plan, const rn_spec *spec) {
  const rn_layout *l = &plan->layout;
  rn_log_info("ranks        %d on nodes of %d, %d threads each", plan->ranks, plan->machine.ranks,
              plan->machine.threads);
  rn_log_info("grid         data %d x pipeline %d x sequence %d; segments %d, micro-batch %d",
              l->data, l->pipeline, l->sequence, l->segments, l->microbatch);
  rn_log_info("stages       %s", plan->pipeline_reason);
  rn_log_info("parameters   %lld", (long long)rn_spec_parameters(spec));
  for (int s = 0; l->pipeline > 1 && s < l->pipeline; s++) {
    rn_log_info("  stage %-3d  layers %d to %d, %lld parameters, %d units held", s,
                plan->memory.first[s], plan->memory.first[s + 1] - 1,
                (long long)plan->memory.parameters[s], plan->memory.tapes[s]);
  }
}

static void show_memory(const rn_plan *plan) {
  const rn_memory *m = rn_memory_largest_rank(&plan->memory);
  rn_log_info("memory       %.1f MiB a rank at most, %.1f MiB a node of %.1f",
              mib(rn_memory_total(m)), mib(rn_plan_node_bytes(plan)),
              mib((size_t)plan->machine.memory_bytes));
  rn_log_info("  weights %.1f  gradients %.1f  optimizer %.1f  activations %.1f", mib(m->weights),
              mib(m->gradients), mib(m->optimizer), mib(m->activations));
  rn_log_info("  work %.1f  states %.1f  buffers %.1f  program %.1f", mib(m->work), mib(m->states),
              mib(m->buffers), mib(m->program));
}

/* Messages of one rank in one step. */
static void show_messages(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec) {
  const rn_layout *l = &plan->layout;
  const int layers = plan->memory.first[1] - plan->memory.first[0];
  const int64_t share = (config->data->batch_sequences + l->data - 1) / l->data;
  const int units = rn_shapes_microbatches(l, share) * l->segments;
  if (l->sequence > 1) {
    const rn_scan_source_shape scan = rn_shapes_scan(config, l, layers);
    rn_log_info("scans        %d a step, states of %.1f KiB each", 2 * layers * units,
                (double)rn_scan_source_state_bytes(spec, scan) / 1024);
  }
  if (l->pipeline > 1) {
    rn_log_info("stages send  %d messages of at most %.1f KiB each way", units,
                (double)l->microbatch * rn_shapes_tokens(config, l) * spec->dim * 4 / 1024);
  }
  if (l->data * l->sequence > 1) {
    rn_log_info("gradients    %.1f MiB are summed over %d ranks, as much comes back as weights",
                mib((size_t)plan->memory.parameters[0] * sizeof(float)), l->data * l->sequence);
  }
}

/* Idle share of the pipeline for F = B = W, weights apart; see trainer/schedule.h. */
static double idle_share(const Retnet__Config *config, const rn_layout *l) {
  const int64_t share = (config->data->batch_sequences + l->data - 1) / l->data;
  const double units = (double)rn_shapes_microbatches(l, share) * l->segments;
  const double idle = (l->pipeline - 1) * (units > l->segments ? 1.0 : 2.0);
  return idle / (idle + 3 * units);
}

static void show_time(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                      double flops_per_s) {
  const double tokens = (double)config->data->batch_sequences * config->data->sequence_length;
  const double flops = tokens * rn_spec_flops_per_token(spec);
  const double rate = flops_per_s * plan->machine.threads, idle = idle_share(config, &plan->layout);
  const double step_s = flops / (rate * plan->ranks) / (1 - idle);
  rn_log_info("a step       %.3g model FLOP; at least %.3g s with products at %.1f GFLOP/s a rank",
              flops, step_s, rate / 1e9);
  if (idle > 0.03) {
    rn_log_info("limit        the pipeline idles for %.0f %%: more micro-batches or segments help",
                100 * idle);
  } else {
    rn_log_info("limit        matrix products%s", idle > 0 ? ", and the pipeline's ends" : "");
  }
}

rn_status rn_plan_show(rn_err *err, const Retnet__Config *config, rn_world *world, int ranks) {
  rn_machine machine;
  rn_plan plan = {0};
  rn_spec spec;
  double flops_per_s = 0;
  RN_TRY(err, rn_machine_look(err, world, config, ranks, &machine));
  rn_status status = measure_products(err, &flops_per_s);
  if (status == RN_OK) status = read_spec(err, config, &spec);
  if (status == RN_OK) {
    status = rn_plan_create(err, config, &spec, ranks > 0 ? ranks : rn_world_size(world), machine,
                            &plan);
  }
  RN_TRY(err, rn_agree(err, world, status));
  show_layout(&plan, &spec);
  show_memory(&plan);
  show_messages(config, &plan, &spec);
  show_time(config, &plan, &spec, flops_per_s);
  rn_plan_destroy(&plan);
  return RN_OK;
}
