#include "trainer/estimate/plan_sample.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "model/kernel/gemm.h"
#include "model/kernel/gemm_replay.h"
#include "proto/base/clock.h"
#include "proto/base/range.h"
#include "proto/base/span.h"
#include "trainer/parallel/shapes.h"
#include "trainer/run/step.h"

/*
 * Small steps are repeated and the minimum time is taken, since it is least disturbed by other
 * load.
 */
enum { WARM_UP = 1, MAX_STEPS = 64 };
/*
 * Numbers of layers of the two measured models. A larger difference reduces the influence of noise
 * on the time per layer.
 */
enum { FEW_LAYERS = 1, MORE_LAYERS = 3 };

/*
 * MEMORY_BYTES: maximum memory of a small run. PROBE_FLOPS: maximum FLOP of the steps that measure
 * the FLOP rate.
 */
static const double MEMORY_BYTES = 384 << 20, PROBE_FLOPS = 5e10;
/*
 * BUDGET_S: target for the total time of all steps. *_UNTIL_S: no step of that kind starts later
 * than this many seconds after the start of the measurement. PRODUCTS_FOR_S: limit on the time for
 * timing the matrix products. On a busy machine fewer steps run, and the result is less accurate.
 */
static const double BUDGET_S = 1.8, PROBE_UNTIL_S = 0.4, FEW_UNTIL_S = 1.2, MORE_UNTIL_S = 2.2,
                    PRODUCTS_FOR_S = 0.6;
/*
 * Minimum fraction of a step's time that is attributed to matrix products even if noise makes the
 * measured fraction smaller.
 */
static const double MIN_SHARE = 0.3;

/* Times of one step, which has one unit (micro-batch x segment), for a given number of layers. */
typedef struct sample {
  rn_task_times unit;
  double zero_s, update_s; /* time to zero the gradients; time of gradient norm and update */
  double products_s;       /* time of the step's matrix products alone; 0: not measured */
  double parameters;
} sample;

/* The plan to measure, and the ranks that measure it. */
typedef struct sampler {
  const Retnet__Config *config;
  const rn_plan *plan;
  const rn_spec *spec; /* the plan's model; if it is a hybrid, without its attention layers */
  rn_world *world, *single_rank; /* all ranks; this rank only, for the measured steps */
  double start_s;                /* clock time at the start of the measurement */
} sampler;

/* The steps to measure. */
typedef struct measurement {
  int layers;
  double until_s; /* clock time after which no further step starts */
  bool products;  /* true to time the matrix products of a step, too */
} measurement;

/* ---- the small run ---- */

/* The plan's config, changed so that a single rank runs a model of the measured sizes. */
typedef struct small_config {
  Retnet__Config config;
  Retnet__Run run;
  Retnet__Model model;
  Retnet__Data data;
  Retnet__Parallel parallel;
  Retnet__Train train;
} small_config;

/*
 * Sets the reduction block for reproducible mode: it is no longer than a sequence and consists of
 * whole chunks.
 */
static void set_reduction_block(int reduction_block, const rn_plan_sizes *sizes, rn_spec *spec,
                                Retnet__Run *run) {
  run->leaf = reduction_block < sizes->tokens ? reduction_block : sizes->tokens;
  if (reduction_block > 0) spec->chunk = (int)rn_common_divisor(run->leaf, spec->chunk);
}

static void make_small(const sampler *s, const rn_plan_sizes *sizes, int layers,
                       small_config *out) {
  const Retnet__Config *config = s->config;
  const rn_layout *l = &s->plan->layout;
  rn_spec small = sizes->spec;
  *out = (small_config){*config,       *config->run,      *config->model,
                        *config->data, *config->parallel, *config->train};
  out->config.run = &out->run;
  out->config.model = &out->model;
  out->config.data = &out->data;
  out->config.parallel = &out->parallel;
  out->config.train = &out->train;
  /* The plan has already reported that bf16 falls back to fp32. */
  if (!rn_gemm_takes_bf16()) out->train.precision = RETNET__PRECISION__PRECISION_FP32;
  small.layers = layers;
  rn_spec_fit_attention(&small);
  set_reduction_block(l->reduction_block, sizes, &small, &out->run);
  rn_spec_give_keys(&small, &out->config);
  out->model.preset = NULL;
  out->model.n_attention_layers = 0;
  out->data.dir = NULL;
  out->data.carry_state = false;
  out->data.sequence_length = sizes->tokens;
  out->data.batch_sequences = sizes->sequences;
  out->parallel.data = out->parallel.pipeline = out->parallel.sequence = 1;
  out->parallel.segments = 1;
  out->parallel.microbatch = out->data.batch_sequences;
  out->parallel.threads = s->plan->machine.threads;
  out->parallel.comm_thread = RETNET__SWITCH__SWITCH_OFF;
  out->parallel.share_weights = out->parallel.share_gradients = RETNET__SWITCH__SWITCH_AUTO;
  out->parallel.n_layer_split = 0;
  if (out->parallel.split_weight == RETNET__SWITCH__SWITCH_AUTO &&
      config->train->recompute == RETNET__RECOMPUTE__RECOMPUTE_NONE) {
    out->parallel.split_weight =
        l->pipeline > 1 ? RETNET__SWITCH__SWITCH_ON : RETNET__SWITCH__SWITCH_OFF;
  }
}

/* ---- measuring ---- */

/* Returns the times of a step's phases, taken from the totals of their spans. */
static sample sample_of_spans(void) {
  return (sample){.unit = {rn_spans_total_s("forward"), rn_spans_total_s("backward"),
                           rn_spans_total_s("weight")},
                  .zero_s = rn_spans_total_s("zero gradients"),
                  .update_s = rn_spans_total_s("gradient norm") + rn_spans_total_s("update")};
}

/* Times one step, and updates *min, which holds the minimum of each time over all steps. */
static rn_status time_step(rn_err *err, rn_run *run, sample *min) {
  rn_step_result result;
  RN_TRY(err, rn_spans_start(err, 0));
  const rn_status status = rn_step(err, run, &result);
  const sample now = sample_of_spans();
  rn_spans_stop();
  min->unit.forward_s = fmin(min->unit.forward_s, now.unit.forward_s);
  min->unit.backward_s = fmin(min->unit.backward_s, now.unit.backward_s);
  min->unit.weight_s = fmin(min->unit.weight_s, now.unit.weight_s);
  min->zero_s = fmin(min->zero_s, now.zero_s);
  min->update_s = fmin(min->update_s, now.update_s);
  return status;
}

static rn_status time_steps(rn_err *err, rn_run *run, double until_s, sample *out) {
  rn_step_result result;
  const double never = INFINITY;
  *out = (sample){.unit = {never, never, never},
                  .zero_s = never,
                  .update_s = never,
                  .parameters = (double)run->model.weights.total};
  for (int i = 0; i < WARM_UP; i++) RN_TRY(err, rn_step(err, run, &result));
  for (int i = 0; i < MAX_STEPS && (i == 0 || rn_clock_s() < until_s); i++) {
    RN_TRY(err, time_step(err, run, out));
  }
  return RN_OK;
}

static double busy_s(rn_task_times t) {
  return t.forward_s + t.backward_s + t.weight_s;
}

/*
 * Measures the time of a step's matrix products alone: records the products of one step and replays
 * them.
 */
static rn_status time_products(rn_err *err, rn_run *run, double until_s, double *products_s) {
  rn_gemm_record record = {0};
  rn_gemm_replay replay = {0};
  rn_step_result unused;
  rn_gemm_record_start(&record);
  rn_status stepped = rn_step(err, run, &unused);
  rn_status status = rn_gemm_record_stop(err, &record);
  if (stepped != RN_OK) status = stepped;
  if (status == RN_OK) status = rn_gemm_replay_create(err, &record, &replay);
  *products_s = INFINITY;
  for (int i = 0; status == RN_OK && i < MAX_STEPS && (i == 0 || rn_clock_s() < until_s); i++) {
    const double start_s = rn_clock_s();
    rn_gemm_replay_run(&replay);
    *products_s = fmin(*products_s, rn_clock_s() - start_s);
  }
  rn_gemm_replay_destroy(&replay);
  rn_gemm_record_destroy(&record);
  return status;
}

/* Measures steps of a model with the sizes `sizes`. */
static rn_status measure(rn_err *err, const sampler *s, const rn_plan_sizes *sizes, measurement m,
                         sample *out) {
  small_config small;
  rn_run run;
  make_small(s, sizes, m.layers, &small);
  RN_TRY(err, rn_run_create(err, &small.config, s->single_rank, &run));
  rn_status status = time_steps(err, &run, m.until_s, out);
  if (status == RN_OK && m.products) {
    status = time_products(err, &run, m.until_s + PRODUCTS_FOR_S, &out->products_s);
  }
  rn_run_destroy(&run);
  return status;
}

/* Replaces each value by its maximum over all ranks, rounded down to a multiple of 1e-9. */
static rn_status max_over_ranks(rn_err *err, rn_world *world, double *const *value, int count) {
  enum { MAX_VALUES = 8 };
  int64_t max[MAX_VALUES];
  assert(count <= MAX_VALUES);
  for (int i = 0; i < count; i++) max[i] = (int64_t)(1e9 * *value[i]);
  RN_TRY(err, rn_world_max(err, world, max, count));
  for (int i = 0; i < count; i++) *value[i] = 1e-9 * (double)max[i];
  return RN_OK;
}

static rn_status slowest(rn_err *err, rn_world *world, sample *s) {
  double *const value[] = {&s->unit.forward_s, &s->unit.backward_s, &s->unit.weight_s, &s->zero_s,
                           &s->update_s};
  return max_over_ranks(err, world, value, (int)(sizeof value / sizeof value[0]));
}

/*
 * Chooses sizes for which all steps together take about BUDGET_S on this machine, from the FLOP
 * rate of a few smaller steps.
 */
static rn_status choose_sizes(rn_err *err, const sampler *s, rn_plan_sizes *out) {
  const rn_layout *l = &s->plan->layout;
  const int tokens = rn_shapes_tokens(s->config, l), batch = l->microbatch;
  const bool exact = l->reduction_block > 0;
  sample probe = {0};
  *out = rn_plan_sizes_within(s->spec, tokens, batch, exact, PROBE_FLOPS, MEMORY_BYTES);
  const double flops = 3 * (rn_spec_layer_flops(&out->spec) + rn_spec_head_flops(&out->spec)) *
                       out->tokens * out->sequences;
  const measurement m = {.layers = FEW_LAYERS, .until_s = rn_clock_s() + PROBE_UNTIL_S};
  RN_TRY(err, rn_agree(err, s->world, measure(err, s, out, m, &probe)));
  RN_TRY(err, slowest(err, s->world, &probe));
  const double rate = flops / fmax(busy_s(probe.unit), 1e-9);
  *out = rn_plan_sizes_within(s->spec, tokens, batch, exact, rate * BUDGET_S, MEMORY_BYTES);
  return RN_OK;
}

/* ---- scaling ---- */

/*
 * Returns a value proportional to the memory traffic, per row, of a layer's operations other than
 * matrix products.
 */
static double width_of(const rn_spec *s) {
  return 6.0 * s->dim + 4.0 * s->value_dim + 3.0 * s->ffn_dim;
}

static rn_task_times scaled(rn_task_times t, double by) {
  return (rn_task_times){by * t.forward_s, by * t.backward_s, by * t.weight_s};
}

/*
 * Computes the time per layer from the difference between the two numbers of layers; the rest is
 * the time of the embedding and the head.
 */
static void split_times(const sample *few, const sample *more, rn_plan_sample *out) {
  const rn_task_times a = few->unit, b = more->unit;
  const double layers = MORE_LAYERS - FEW_LAYERS;
  out->layer = (rn_task_times){fmax(0, b.forward_s - a.forward_s) / layers,
                               fmax(0, b.backward_s - a.backward_s) / layers,
                               fmax(0, b.weight_s - a.weight_s) / layers};
  out->embed_head = (rn_task_times){fmax(0, a.forward_s - out->layer.forward_s),
                                    fmax(0, a.backward_s - out->layer.backward_s),
                                    fmax(0, a.weight_s - out->layer.weight_s)};
}

static bool is_narrowed(const rn_spec *whole, const rn_spec *part) {
  return part->dim < whole->dim || part->vocab < whole->vocab;
}

static void scale(const rn_spec *whole, const rn_spec *part, double share, rn_plan_sample *out) {
  const double by_flops = rn_spec_layer_flops(whole) / rn_spec_layer_flops(part);
  const double by_width = width_of(whole) / width_of(part);
  const double head_flops = rn_spec_head_flops(whole) / rn_spec_head_flops(part);
  const double head_width = (double)(whole->vocab + whole->dim) / (part->vocab + part->dim);
  out->layer = scaled(out->layer, share * by_flops + (1 - share) * by_width);
  out->embed_head = scaled(out->embed_head, share * head_flops + (1 - share) * head_width);
}

static rn_cost_unit unit_of(const sampler *s, const rn_spec *spec, int sequences, int tokens) {
  const Retnet__Train *train = s->config->train;
  return (rn_cost_unit){.spec = spec,
                        .sequences = sequences,
                        .tokens = tokens,
                        .reduction_block = s->plan->layout.reduction_block,
                        .bf16 = rn_gemm_takes_bf16(),
                        .attends = spec->arch == RN_ARCH_TRANSFORMER,
                        .recompute = train->recompute != RETNET__RECOMPUTE__RECOMPUTE_NONE};
}

typedef double modelled(const rn_step_cost *cost, rn_cost_kind first, rn_cost_kind last);

/* Multiplies each time t (forward, backward and weight phase) by
 *
 *   factor * value(numerator, K) / value(denominator, K)
 *
 * where K are the kinds of work that t includes. t.backward_s includes the weight phase if
 * t.weight_s is 0. */
static rn_task_times by_ratio(rn_task_times t, double factor, modelled *value,
                              const rn_step_cost *numerator, const rn_step_cost *denominator) {
  const rn_cost_kind last = t.weight_s > 0 ? RN_COST_BACKWARD : RN_COST_WEIGHT;
  const rn_cost_kind kinds[][2] = {{RN_COST_FORWARD, RN_COST_FORWARD},
                                   {RN_COST_BACKWARD, last},
                                   {RN_COST_WEIGHT, RN_COST_WEIGHT}};
  double *const time_s[] = {&t.forward_s, &t.backward_s, &t.weight_s};
  for (int i = 0; i < 3; i++) {
    *time_s[i] *= factor * value(numerator, kinds[i][0], kinds[i][1]) /
                  value(denominator, kinds[i][0], kinds[i][1]);
  }
  return t;
}

/* Multiplies times by the modelled efficiency of the measured step, divided by that of the plan's
 * step. */
static rn_task_times corrected(rn_task_times t, const rn_step_cost *measured,
                               const rn_step_cost *plan) {
  return by_ratio(t, 1, rn_step_cost_efficiency_of, measured, plan);
}

/* Converts the times of the measured layer to those of an attention layer of the plan: multiplies
 * them by the modelled time per row of the attention layer, divided by that of the measured layer.
 */
static rn_task_times by_model(rn_task_times t, const rn_step_cost *measured,
                              const rn_step_cost *attention, double ratio_of_rows) {
  return by_ratio(t, ratio_of_rows, rn_step_cost_time_of, attention, measured);
}

/* Computes the times of attention layers from those of the measured layer. */
static void time_attention(const sampler *s, const rn_plan_sizes *sizes, rn_task_times measured,
                           rn_plan_sample *out) {
  const rn_layout *l = &s->plan->layout;
  const int tokens = rn_shapes_tokens(s->config, l);
  const rn_cost_unit small = unit_of(s, &sizes->spec, sizes->sequences, sizes->tokens);
  rn_cost_unit whole = unit_of(s, &out->spec, l->microbatch, tokens);
  const rn_cost_rates rates = rn_cost_rates_typical(whole.bf16);
  rn_step_cost a = rn_step_cost_start(s->plan->machine.threads), b = a;
  whole.attends = true;
  whole.before = rn_shapes_tokens_before(s->config, l);
  rn_step_cost_add_layer(&a, rates, &small, 1);
  rn_step_cost_add_layer(&b, rates, &whole, 1);
  const double rows = (double)sizes->sequences * sizes->tokens;
  const rn_task_times t = by_model(measured, &a, &b, rows / ((double)l->microbatch * tokens));
  if (small.attends) out->layer = t;
  out->attention_layer = t;
}

/* Corrects the times for the different efficiencies of the sample and the plan, and models a step
 * of the plan. */
static void correct(const sampler *s, const rn_plan_sizes *sizes, rn_plan_sample *out) {
  const rn_layout *l = &s->plan->layout;
  const int threads = s->plan->machine.threads, tokens = rn_shapes_tokens(s->config, l);
  const rn_cost_unit small = unit_of(s, &sizes->spec, sizes->sequences, sizes->tokens);
  rn_cost_unit whole = unit_of(s, s->spec, l->microbatch, tokens);
  const rn_cost_rates rates = rn_cost_rates_typical(whole.bf16);
  rn_step_cost a = rn_step_cost_start(threads), b = a, ends_a = a, ends_b = a;
  whole.before = rn_shapes_tokens_before(s->config, l);
  rn_step_cost_add_layer(&a, rates, &small, 1);
  rn_step_cost_add_layer(&b, rates, &whole, s->spec->layers);
  rn_step_cost_add_ends(&ends_a, rates, &small, 1);
  rn_step_cost_add_ends(&ends_b, rates, &whole, 1);
  out->layer = corrected(out->layer, &a, &b);
  out->embed_head = corrected(out->embed_head, &ends_a, &ends_b);
  out->cost = rn_step_cost_start(threads);
  rn_cost_unit unit = unit_of(s, &out->spec, l->microbatch, tokens);
  unit.before = whole.before;
  rn_step_cost_add_layers(&out->cost, rates, &unit, (rn_range){0, out->spec.layers}, 1);
  rn_step_cost_add_ends(&out->cost, rates, &unit, 1);
}

static void describe(const rn_spec *whole, const rn_plan_sizes *sizes, double share,
                     double rows_of_unit, rn_plan_sample *out) {
  const rn_spec *s = &sizes->spec;
  int used = snprintf(out->text, sizeof out->text,
                      "steps of models with %d and %d layers, %.0f of the %.0f rows of a unit",
                      FEW_LAYERS, MORE_LAYERS, out->rows, rows_of_unit);
  if (s->dim < whole->dim && used >= 0 && (size_t)used < sizeof out->text) {
    used += snprintf(out->text + used, sizeof out->text - (size_t)used,
                     ", dim %d of %d, ffn_dim %d of %d", s->dim, whole->dim, s->ffn_dim,
                     whole->ffn_dim);
  }
  if (s->vocab < whole->vocab && used >= 0 && (size_t)used < sizeof out->text) {
    used += snprintf(out->text + used, sizeof out->text - (size_t)used, ", vocabulary %d of %d",
                     s->vocab, whole->vocab);
  }
  if (used < 0 || (size_t)used >= sizeof out->text) return;
  if (is_narrowed(whole, s)) {
    snprintf(out->text + used, sizeof out->text - (size_t)used,
             "; times scaled by the number of rows; in addition, the time of GEMMs (%.0f %% of the "
             "total) is scaled by FLOP, the rest by width",
             100 * share);
  } else {
    snprintf(out->text + used, sizeof out->text - (size_t)used,
             "; times scaled by the number of rows and layers");
  }
}

/*
 * Measures a model with few layers and one with more layers. *share is the fraction of the larger
 * model's time that matrix products take. It is measured only if the width or the vocabulary was
 * reduced; otherwise it is not needed and is 1.
 */
static rn_status measure_both(rn_err *err, const sampler *s, const rn_plan_sizes *sizes,
                              sample *few, sample *more, double *share) {
  const bool narrowed = is_narrowed(s->spec, &sizes->spec);
  const measurement of_few = {.layers = FEW_LAYERS, .until_s = s->start_s + FEW_UNTIL_S};
  const measurement of_more = {
      .layers = MORE_LAYERS, .until_s = s->start_s + MORE_UNTIL_S, .products = narrowed};
  rn_status status = measure(err, s, sizes, of_few, few);
  if (status == RN_OK) status = measure(err, s, sizes, of_more, more);
  *share = narrowed ? fmax(MIN_SHARE, fmin(1, more->products_s / busy_s(more->unit))) : 1;
  return status;
}

static rn_status measure_all(rn_err *err, const sampler *s, rn_plan_sample *out) {
  rn_plan_sizes sizes;
  sample few = {0}, more = {0};
  double share = 1;
  double *const value[] = {&share};
  RN_TRY(err, choose_sizes(err, s, &sizes));
  rn_spec_fit_attention(&sizes.spec);
  RN_TRY(err, rn_agree(err, s->world, measure_both(err, s, &sizes, &few, &more, &share)));
  RN_TRY(err, slowest(err, s->world, &few));
  RN_TRY(err, slowest(err, s->world, &more));
  RN_TRY(err, max_over_ranks(err, s->world, value, 1));
  out->rows = (double)sizes.tokens * sizes.sequences;
  out->zero_s = more.zero_s / more.parameters;
  out->update_s = more.update_s / more.parameters;
  split_times(&few, &more, out);
  const rn_task_times measured = out->layer;
  scale(s->spec, &sizes.spec, share, out);
  correct(s, &sizes, out);
  if (rn_spec_attention_layers(&out->spec, 0, out->spec.layers) > 0) {
    time_attention(s, &sizes, measured, out);
  }
  describe(s->spec, &sizes, share,
           (double)s->plan->layout.microbatch * rn_shapes_tokens(s->config, &s->plan->layout), out);
  return RN_OK;
}

rn_status rn_plan_sample_take(rn_err *err, const Retnet__Config *config, rn_world *world,
                              const rn_plan *plan, const rn_spec *spec, rn_plan_sample *out) {
  rn_spec measured = *spec;
  if (spec->arch != RN_ARCH_TRANSFORMER) rn_spec_fit_attention(&measured);
  sampler s = {
      .config = config, .plan = plan, .spec = &measured, .world = world, .start_s = rn_clock_s()};
  *out = (rn_plan_sample){.spec = *spec};
  RN_TRY(err, rn_world_split(err, world, rn_world_rank(world), &s.single_rank));
  const rn_status status = measure_all(err, &s, out);
  rn_world_close(&s.single_rank);
  return status;
}
