#include "trainer/estimate/plan_show.h"

#include "data/batch/split.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/log.h"
#include "proto/options/options_items.h"
#include "trainer/estimate/plan_buffers.h"
#include "trainer/estimate/plan_time.h"
#include "trainer/launch/gemm_agree.h"
#include "trainer/parallel/shapes.h"
#include "trainer/plan/decisions.h"
#include "trainer/plan/message_core.h"

/* Resolves the config. Uses the vocabulary of the data if model.vocab is 0. */
static rn_status resolve(rn_err *err, const Retnet__Config *given, rn_effective *out) {
  rn_split split = {0};
  if (given->model->vocab > 0) return rn_effective_create(err, given, 0, out);
  rn_options_items items;
  rn_status status =
      rn_options_items_parse(err, "data.dir", "dir weight", given->data->dir, &items);
  if (status == RN_OK) status = rn_split_open(err, items.item[0].dir, "train", &split);
  if (status == RN_OK) {
    status = rn_effective_create(err, given, (int)rn_split_header(&split)->vocabulary, out);
  }
  rn_split_close(&split);
  rn_options_items_free(&items);
  return status;
}

static void show_key(void *self, const char *key) {
  const rn_config_notes *notes = self;
  char value[RN_OPTIONS_TEXT_BYTES], origin[512];
  const bool is_default = notes->effective->origin[rn_options_key_index(key)] == RN_ORIGIN_DEFAULT;
  if (is_default && rn_decisions_find(notes->decisions, key) == NULL) return;
  rn_options_text(notes->effective->config, key, value, sizeof value);
  rn_config_notes_describe(notes, key, origin, sizeof origin);
  rn_log_info("  %-24s %-12s %s", key, value, origin);
}

static void show_config(const rn_effective *effective, const rn_options_locations *locations,
                        const rn_plan *plan, const rn_spec *spec) {
  rn_decisions decisions;
  rn_decisions_make(effective->config, plan, spec, &decisions);
  rn_config_notes notes = {effective, locations, &decisions};
  rn_log_info("keys         with their origin; all other keys have their default values");
  rn_options_each(show_key, &notes);
}

static double mib(size_t bytes) {
  return (double)bytes / (1 << 20);
}

static void show_layout(const rn_plan *plan, const rn_spec *spec) {
  const rn_layout *l = &plan->layout;
  rn_log_info("ranks        %d (%d per node, %d threads per rank)", plan->ranks,
              plan->machine.ranks, plan->machine.threads);
  if (plan->machine.threads_reason[0] != '\0') {
    rn_log_info("  %s", plan->machine.threads_reason);
  }
  rn_log_info("grid         data %d x pipeline %d x sequence %d; segments %d, micro-batch %d",
              l->data, l->pipeline, l->sequence, l->segments, l->microbatch);
  rn_log_info("stages       %s", plan->pipeline_reason);
  rn_log_info("parameters   %lld", (long long)rn_spec_parameters(spec));
  for (int s = 0; l->pipeline > 1 && s < l->pipeline; s++) {
    rn_log_info("  stage %-3d  layers %d to %d, %lld parameters, activations of up to %d units", s,
                plan->memory.first[s], plan->memory.first[s + 1] - 1,
                (long long)plan->memory.parameters[s], plan->memory.pool[s]);
  }
}

/*
 * Shows the GEMM backend and the kernels that this CPU uses. `lack` is the reason why bf16 is not
 * used, or NULL.
 */
static void show_cpu(const char *lack) {
  rn_log_info("compute      GEMM backend %s%s, kernels %s", rn_gemm_backend_in_use()->name,
              rn_gemm_takes_bf16() ? " in bf16" : "", rn_kernels_table()->name);
  if (lack != NULL) rn_log_warn("train.precision bf16: %s; matrix products use fp32", lack);
}

static void show_memory(const rn_plan *plan) {
  const rn_memory *m = rn_memory_largest_rank(&plan->memory);
  rn_log_info("memory       up to %.1f MiB per rank, %.1f MiB per node (of %.1f MiB)",
              mib(rn_memory_total(m)), mib(rn_plan_node_bytes(plan)),
              mib((size_t)plan->machine.memory_bytes));
  if (plan->memory.shared) {
    rn_log_info("  ranks of the same node and stage share one copy of the weights");
  }
  rn_log_info("  weights %.1f  gradients %.1f  optimizer %.1f  activations %.1f", mib(m->weights),
              mib(m->gradients), mib(m->optimizer), mib(m->activations));
  rn_log_info("  workspace %.1f  states %.1f  buffers %.1f  program %.1f", mib(m->work),
              mib(m->states), mib(m->buffers), mib(m->program));
}

/* Shows the messages that one rank sends in one step. */
static void show_messages(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec) {
  const rn_layout *l = &plan->layout;
  const int layers = plan->memory.first[1] - plan->memory.first[0];
  const int64_t share = (config->data->batch_sequences + l->data - 1) / l->data;
  const int units = rn_shapes_microbatches(l, share) * l->segments;
  if (l->sequence > 1) {
    const rn_scan_source_shape scan = rn_shapes_scan(config, l, layers);
    rn_log_info("scans        %d per step, states of %.1f KiB each", 2 * layers * units,
                (double)rn_scan_source_state_bytes(spec, scan) / 1024);
  }
  if (l->pipeline > 1) {
    rn_log_info("pipeline     %d messages of up to %.1f KiB per step in each direction", units,
                (double)l->microbatch * rn_shapes_tokens(config, l) * spec->dim * 4 / 1024);
  }
  if (l->data * l->sequence > 1) {
    rn_log_info(
        "gradients    reduce-scatter of %.1f MiB over %d ranks, all-gather of the same size for "
        "the weights",
        mib((size_t)plan->memory.parameters[0] * sizeof(float)), l->data * l->sequence);
  }
}

static void show_time(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                      rn_plan_time t) {
  const double tokens = (double)config->data->batch_sequences * config->data->sequence_length;
  const double flops = tokens * rn_spec_flops_per_token(spec), step_s = rn_plan_time_total(t);
  rn_log_info(
      "step time    about %.3g s: %.3g s compute, %.3g s pipeline idle, %.3g s reductions over "
      "ranks, %.3g s update",
      step_s, t.units_s, t.idle_s, t.sums_s, t.update_s);
  if (t.rows_s > 0) rn_log_info("  and %.3g s for keys and values along the sequence", t.rows_s);
  rn_log_info("  %.0f tokens/s, %.1f GFLOP/s per rank (%.3g model FLOP per step)", tokens / step_s,
              1e-9 * flops / step_s / plan->ranks, flops);
  if (t.idle_s > 0.03 * step_s) {
    rn_log_info(
        "limit        the pipeline is idle %.0f %% of the time: use more micro-batches or segments",
        100 * t.idle_s / step_s);
  } else if (t.rows_s > 0.3 * step_s) {
    rn_log_info(
        "limit        the exchange of keys and values is %.0f %% of the time: use fewer ranks "
        "(parallel.sequence) per sequence, or fewer model.kv_heads",
        100 * t.rows_s / step_s);
  } else if (t.sums_s + t.update_s > 0.3 * step_s) {
    rn_log_info("limit        gradient reduction and weight update: use more tokens per step");
  } else {
    rn_log_info("limit        matrix products");
  }
}

/* The planned run: everything that a run decides before it allocates memory. */
typedef struct planned_run {
  rn_effective effective;
  rn_spec spec; /* model spec with the chunk length in use */
  rn_machine machine;
  rn_plan plan;
  const char *lack; /* reason why matrix products are not in bf16 although the config requests it,
                       or NULL */
} planned_run;

/* Decides what the plan depends on, for `ranks` ranks, without communication. */
static rn_status settle(rn_err *err, const Retnet__Config *given, int ranks, planned_run *p) {
  RN_TRY(err, rn_gemm_backend_use(err, given->model->products, given->train->precision, &p->lack));
  RN_TRY(err, resolve(err, given, &p->effective));
  p->spec = p->effective.spec;
  return rn_message_core_apply(err, p->effective.config, &p->spec, ranks, &p->machine);
}

/* Makes the plan, without communication. It need not fit into memory if `hypothetical`. */
static rn_status make_plan(rn_err *err, int ranks, bool hypothetical, planned_run *p) {
  const Retnet__Config *config = p->effective.config;
  RN_TRY(err, (hypothetical ? rn_plan_create_any : rn_plan_create)(err, config, &p->spec, ranks,
                                                                   p->machine, &p->plan));
  return rn_layout_fit_chunk(err, config, &p->plan.layout, &p->spec);
}

/* Plans a run for `ranks` ranks (0: the number of ranks in `world`) in the same way as
 * rn_run_settings_plan, so that all ranks have the same plan. */
static rn_status plan_run(rn_err *err, const Retnet__Config *given, rn_world *world, int ranks,
                          planned_run *p) {
  const int planned = ranks > 0 ? ranks : rn_world_size(world);
  RN_TRY(err, rn_agree(err, world, settle(err, given, planned, p)));
  RN_TRY(err, rn_gemm_agree(err, world));
  RN_TRY(err, rn_machine_agree_threads(err, world, &p->machine));
  RN_TRY(err, rn_agree(err, world, make_plan(err, planned, ranks > 0, p)));
  return rn_plan_check_same(err, world, &p->plan);
}

static void show_plan(const planned_run *p, const rn_options_locations *locations) {
  show_config(&p->effective, locations, &p->plan, &p->spec);
  show_layout(&p->plan, &p->spec);
  show_cpu(p->lack);
  show_memory(&p->plan);
  if (p->plan.lack[0] != '\0') rn_log_warn("memory: %s", p->plan.lack);
  show_messages(p->effective.config, &p->plan, &p->spec);
}

/* Shows the fraction of time for which the threads of a rank are busy, and the phase that limits
 * this fraction. */
static void show_threads(const rn_plan_sample *sample) {
  const rn_step_cost *cost = &sample->cost;
  const rn_phase_cost *idle = rn_step_cost_max_idle(cost);
  const double busy = rn_step_cost_efficiency(cost), few = 0.95;
  if (cost->threads == 1) return;
  rn_log_info(
      "threads      the tasks of a step keep the %d threads of a rank busy %.0f %% of the time",
      cost->threads, 100 * busy);
  if (busy > few) return;
  rn_log_info(
      "  most idle time in: %s (threads %.0f %% busy); use longer segments, larger micro-batches "
      "or fewer threads per rank",
      idle->name, 100 * rn_phase_cost_efficiency(idle, cost->threads));
}

/* Measures steps of small models, estimates the time of a step of the plan from them, and shows the
 * measurement and the estimate. */
static rn_status show_estimate(rn_err *err, rn_world *world, const planned_run *p) {
  const Retnet__Config *config = p->effective.config;
  rn_plan_sample sample;
  rn_plan_time time;
  RN_TRY(err, rn_plan_sample_take(err, config, world, &p->plan, &p->spec, &sample));
  rn_log_info("measured     %s", sample.text);
  RN_TRY(err, rn_agree(err, world, rn_plan_time_estimate(err, config, &p->plan, &sample, &time)));
  show_time(config, &p->plan, &p->spec, time);
  show_threads(&sample);
  return RN_OK;
}

rn_status rn_plan_show(rn_err *err, const Retnet__Config *given,
                       const rn_options_locations *locations, rn_world *world, int ranks) {
  planned_run p = {0};
  RN_TRY(err, rn_machine_query(err, world, given, ranks, &p.machine));
  RN_TRY(err, rn_gemm_bf16_agree(err, world, given->train->precision));
  rn_status status = plan_run(err, given, world, ranks, &p);
  if (status == RN_OK) {
    show_plan(&p, locations);
    status = rn_agree(err, world, rn_plan_buffers_show(err, p.effective.config, &p.plan, &p.spec));
  }
  if (status == RN_OK) status = show_estimate(err, world, &p);
  rn_plan_destroy(&p.plan);
  rn_effective_destroy(&p.effective);
  return status;
}
