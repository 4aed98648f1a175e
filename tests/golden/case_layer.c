/* Checks one retention block in the official forms: outputs, all gradients, and intermediate
 * arrays. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/retention/block_retention.h"
#include "model/retention/local_state.h"
#include "tests/golden/run.h"
#include "tests/golden/spec.h"

typedef struct layer_case {
  golden_case *c;
  rn_spec spec;
  int B, T;
  rn_param_table *table; /* parameters of a model that consists of this layer */
  rn_real *params, *gradient;
  rn_real *x, *dy, *y, *dx; /* [B, T, D] */
  rn_unit unit;
  rn_grad_accumulator accumulator;
} layer_case;

static const char *const weights[] = {"q_proj.weight", "k_proj.weight", "v_proj.weight",
                                      "g_proj.weight", "out_proj.weight"};
enum { WEIGHTS = 5 };

static const rn_param *weight_of(const layer_case *l, int i) {
  char name[RN_PARAM_NAME_BYTES];
  snprintf(name, sizeof name, "layers.0.retention.%s", weights[i]);
  return rn_param_find(l->table, name);
}

static rn_status load_weights(rn_err *err, layer_case *l) {
  char name[RN_PARAM_NAME_BYTES];
  for (int i = 0; i < rn_safetensors_count(l->c->file); i++) {
    const char *array = rn_safetensors_at(l->c->file, i)->name;
    bool known = strncmp(array, "param.", 6) != 0;
    for (int w = 0; w < WEIGHTS; w++) known = known || strcmp(array + 6, weights[w]) == 0;
    if (known) continue;
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s: the layer has no such tensor", l->c->path, array);
  }
  RN_TRY(err, golden_take(err, l->c, l->table->total, sizeof(rn_real), &l->params));
  RN_TRY(err, golden_take(err, l->c, l->table->total, sizeof(rn_real), &l->gradient));
  for (int i = 0; i < WEIGHTS; i++) {
    const rn_param *param = weight_of(l, i);
    rn_real *values;
    snprintf(name, sizeof name, "param.%s", weights[i]);
    RN_TRY(err, golden_reals(err, l->c, name, GOLDEN_SHAPE_2(param->rows, param->cols), &values));
    memcpy(l->params + param->offset, values,
           (size_t)(param->rows * param->cols) * sizeof(rn_real));
  }
  return RN_OK;
}

static rn_status load_layer(rn_err *err, golden_case *c, layer_case *l) {
  golden_shape shape;
  int32_t *doc_position;
  RN_TRY(err, golden_shape_of(err, c, "in.x", 3, &shape));
  l->B = (int)shape.n[0];
  l->T = (int)shape.n[1];
  shape.n[2] = l->spec.dim;
  RN_TRY(err, golden_reals(err, c, "in.x", shape, &l->x));
  RN_TRY(err, golden_reals(err, c, "in.dy", shape, &l->dy));
  RN_TRY(err, golden_take(err, c, golden_count(shape), sizeof(rn_real), &l->y));
  RN_TRY(err, golden_take(err, c, golden_count(shape), sizeof(rn_real), &l->dx));
  RN_TRY(err, golden_take(err, c, (int64_t)l->B * l->T, sizeof *doc_position, &doc_position));
  for (int i = 0; i < l->B * l->T; i++) doc_position[i] = i % l->T;
  l->unit = (rn_unit){.sequences = l->B, .tokens = l->T, .doc_position = doc_position};
  RN_TRY(err, load_weights(err, l));
  l->accumulator = (rn_grad_accumulator){.gradient = l->gradient, .total = l->table->total};
  return RN_OK;
}

/** A block with its buffers and its local state. */
typedef struct block_run {
  rn_block_retention block;
  rn_block_retention_activations activations;
  rn_buffer_plan plan;
  rn_workspace workspace;
  rn_arena arena; /* memory of the saved buffers */
  rn_local_state *local_state;
} block_run;

static void close_run(block_run *run) {
  rn_block_retention_destroy(&run->block);
  rn_workspace_destroy(&run->workspace);
  rn_arena_destroy(&run->arena);
  rn_local_state_destroy(&run->local_state);
}

static rn_status open_run(rn_err *err, const layer_case *l, const rn_spec *spec, block_run *run) {
  RN_TRY(err, rn_block_retention_create(err, spec, l->B, l->T, &run->block));
  run->plan = rn_buffer_plan_make(RN_SAVE_ALL);
  rn_buffer_space space = {.plan = &run->plan};
  (void)rn_block_retention_buffers(&run->block, &space);
  rn_buffer_plan_place(&run->plan);
  RN_TRY(err, rn_workspace_create(err, &run->plan, &run->workspace));
  RN_TRY(err, rn_arena_create(err, run->plan.bytes[RN_MEMORY_LAYER], &run->arena));
  space.base[RN_MEMORY_WORKSPACE] = run->workspace.arena.base;
  space.base[RN_MEMORY_LAYER] = run->arena.base;
  run->activations = rn_block_retention_buffers(&run->block, &space);
  run->activations.workspace = &run->workspace;
  RN_TRY(err, rn_local_state_create(err, spec, 1, l->B, &run->local_state));
  return RN_OK;
}

/* Checks columns [from, from + count) of `rows`, as an array [B, T, count]. */
static rn_status check_columns(rn_err *err, const layer_case *l, const block_run *run,
                               const char *variant, const rn_real *rows, int from, int count,
                               const char *base) {
  const int ld = run->block.dim + run->block.value_dim;
  rn_real *out;
  RN_TRY(err, golden_take(err, l->c, (int64_t)l->B * l->T * count, sizeof *out, &out));
  for (int64_t row = 0; row < (int64_t)l->B * l->T; row++) {
    memcpy(out + row * count, rows + row * ld + from, (size_t)count * sizeof *out);
  }
  RN_TRY(err, golden_check(err, l->c, variant, out, GOLDEN_SHAPE_3(l->B, l->T, count), "%s", base));
  return RN_OK;
}

static rn_status check_rotated(rn_err *err, const layer_case *l, const block_run *run,
                               const char *variant, const rn_real *rows, const char *base) {
  const int ld = run->block.dim + run->block.value_dim, D = run->block.dim;
  const int H = run->block.heads, K = run->block.key_width;
  const int64_t count = (int64_t)l->B * l->T;
  rn_real *dense, *out;
  RN_TRY(err, golden_take(err, l->c, count * D, sizeof *dense, &dense));
  RN_TRY(err, golden_take(err, l->c, count * D, sizeof *out, &out));
  for (int64_t row = 0; row < count; row++) {
    memcpy(dense + row * D, rows + row * ld, (size_t)D * sizeof *dense);
  }
  golden_swap(l->B, l->T, H, K, dense, out);
  RN_TRY(err, golden_check(err, l->c, variant, out, GOLDEN_SHAPE_4(l->B, H, l->T, K), "%s", base));
  return RN_OK;
}

/* Checks the rows before and after the head norm. The block stores the row after the norm, y =
 * factor * o; the official row before the norm is alpha * o = alpha * y / factor. */
static rn_status check_norm(rn_err *err, const layer_case *l, const block_run *run,
                            const char *variant, const char *form) {
  const int H = run->block.heads, V = run->block.value_width, chunk = l->spec.chunk;
  const int64_t rows = (int64_t)l->B * l->T, chunks = (l->T + chunk - 1) / chunk;
  const bool by_chunk = strcmp(form, "chunkwise") == 0;
  const int64_t padded = by_chunk ? chunks * chunk : l->T;
  rn_real *before;
  RN_TRY(err, golden_take(err, l->c, l->B * padded * H * V, sizeof *before, &before));
  for (int64_t i = 0; i < rows * H; i++) {
    const int64_t row = i / H, at = (row / l->T * padded + row % l->T) * H + i % H;
    for (int e = 0; e < V; e++) {
      before[at * V + e] = rn_array_value(run->activations.normed, i * V + e) *
                           (run->activations.alpha[i] / run->activations.factor[i]);
    }
  }
  golden_shape shape =
      by_chunk ? GOLDEN_SHAPE_5(l->B, chunks, chunk, H, V) : GOLDEN_SHAPE_4(l->B, l->T, H, V);
  RN_TRY(err, golden_check(err, l->c, variant, before, shape, "mid.%s.ret_pre_norm", form));
  RN_TRY(err, golden_check(err, l->c, variant, rn_array_reals(run->activations.normed),
                           GOLDEN_SHAPE_4(l->B, l->T, H, V), "mid.%s.ret_normed", form));
  return RN_OK;
}

/* Checks the official denominator c, which is defined by alpha = 1 / (sqrt(S_n) * c). */
static rn_status check_denominator(rn_err *err, const layer_case *l, const block_run *run,
                                   const char *variant) {
  const int H = run->block.heads;
  const int64_t count = (int64_t)l->B * l->T * H;
  rn_retention core = run->block.core;
  rn_real *root, *out;
  RN_TRY(err, golden_take(err, l->c, count, sizeof *root, &root));
  RN_TRY(err, golden_take(err, l->c, count, sizeof *out, &out));
  core.scale = RN_SCALE_CANONICAL;
  const rn_retention_view view = {
      .sequences = l->B, .tokens = l->T, .doc_position = l->unit.doc_position};
  rn_retention_row_scale(&core, &view, RN_FORM_PARALLEL, root);
  for (int64_t i = 0; i < count; i++) root[i] /= run->activations.alpha[i];
  golden_swap(l->B, l->T, H, 1, root, out);
  RN_TRY(err, golden_check(err, l->c, variant, out, GOLDEN_SHAPE_3(l->B, H, l->T),
                           "mid.parallel.denom"));
  return RN_OK;
}

/* Checks state and scale after the last token of the canonical recurrent form. */
static rn_status check_final_state(rn_err *err, const layer_case *l, const block_run *run,
                                   const char *variant) {
  double *scale;
  const int H = run->block.heads;
  RN_TRY(err, golden_take(err, l->c, H, sizeof *scale, &scale));
  for (int h = 0; h < H; h++) {
    const double alpha = (double)run->activations.alpha[(l->T - 1) * H + h];
    scale[h] = 1 / (alpha * alpha);
  }
  RN_TRY(err, golden_check_state(err, l->c, variant, &l->spec, l->B,
                                 rn_local_state_state(run->local_state, RN_SCAN_FORWARD, 0), scale,
                                 "mid.recurrent.state_final", "mid.recurrent.scale_final"));
  return RN_OK;
}

static rn_status check_between(rn_err *err, const layer_case *l, const block_run *run,
                               const char *variant, const char *form) {
  char base[64];
  const int D = l->spec.dim, Vd = l->spec.value_dim;
  snprintf(base, sizeof base, "mid.%s.v_lin", form);
  RN_TRY(err,
         check_columns(err, l, run, variant, rn_array_reals(run->activations.kv), D, Vd, base));
  snprintf(base, sizeof base, "mid.%s.g_lin", form);
  RN_TRY(err,
         check_columns(err, l, run, variant, rn_array_reals(run->activations.qg), D, Vd, base));
  snprintf(base, sizeof base, "mid.%s.qr", form);
  RN_TRY(err, check_rotated(err, l, run, variant, rn_array_reals(run->activations.qg), base));
  snprintf(base, sizeof base, "mid.%s.kr", form);
  RN_TRY(err, check_rotated(err, l, run, variant, rn_array_reals(run->activations.kv), base));
  RN_TRY(err, check_norm(err, l, run, variant, form));
  if (strcmp(form, "parallel") == 0) RN_TRY(err, check_denominator(err, l, run, variant));
  if (strcmp(form, "recurrent") == 0) RN_TRY(err, check_final_state(err, l, run, variant));
  return RN_OK;
}

static rn_pass work_of(layer_case *l, const block_run *run, rn_form form) {
  return (rn_pass){.params = l->params,
                   .unit = &l->unit,
                   .port = rn_local_state_port(run->local_state),
                   .form = form,
                   .weights = true,
                   .accumulator = &l->accumulator};
}

static rn_status check_backward(rn_err *err, layer_case *l, block_run *run, const char *variant,
                                const char *form) {
  const rn_layer_params *at = &l->table->layer[0];
  rn_grad_accumulator_start(&l->accumulator);
  const rn_pass pass = work_of(l, run, RN_FORM_CHUNKWISE);
  RN_TRY(err, rn_block_retention_backward_input(err, &run->block, at, &pass,
                                                (rn_block_grads){rn_reals(l->dy), l->dx},
                                                &run->activations));
  rn_weight_product kv_qg[2];
  rn_block_retention_products_in(&run->block, at, rn_reals(l->x), &run->activations, kv_qg);
  rn_grad_accumulator_products(&l->accumulator, NULL, rn_rows_of_unit(&l->unit), kv_qg, 2);
  RN_TRY(err, golden_check(err, l->c, variant, l->dx, GOLDEN_SHAPE_3(l->B, l->T, l->spec.dim),
                           "grad.%s.x", form));
  for (int i = 0; i < WEIGHTS; i++) {
    const rn_param *param = weight_of(l, i);
    RN_TRY(err,
           golden_check(err, l->c, variant, l->gradient + param->offset,
                        GOLDEN_SHAPE_2(param->rows, param->cols), "grad.%s.%s", form, weights[i]));
  }
  return RN_OK;
}

/** Settings that reproduce an official form: retention scale, form of retention, and chunk size. */
typedef struct layer_variant {
  const char *official;
  rn_retention_scale scale;
  rn_form form;
  int chunk; /* 0: the chunk size of the file */
} layer_variant;

static rn_status run_variant(rn_err *err, layer_case *l, const layer_variant *w, block_run *run) {
  static const char *const words[] = {"chunk", "parallel", "recurrent"};
  char variant[32];
  rn_spec spec = l->spec;
  spec.retention_scale = w->scale;
  if (w->chunk > 0) spec.chunk = w->chunk;
  if (w->scale == RN_SCALE_TS_PARALLEL && w->form == RN_FORM_CHUNKWISE) spec.chunk = l->T;
  if (w->form == RN_FORM_CHUNKWISE) {
    snprintf(variant, sizeof variant, "chunk %d", spec.chunk);
  } else {
    snprintf(variant, sizeof variant, "%s", words[w->form]);
  }
  RN_TRY(err, open_run(err, l, &spec, run));
  const rn_pass pass = work_of(l, run, w->form);
  const rn_block_rows rows = {.x = rn_reals(l->x), .raw = l->x, .y = l->y};
  RN_TRY(err, rn_block_retention_forward(err, &run->block, &l->table->layer[0], &pass, rows,
                                         &run->activations));
  RN_TRY(err, golden_check(err, l->c, variant, l->y, GOLDEN_SHAPE_3(l->B, l->T, l->spec.dim),
                           "out.%s", w->official));
  RN_TRY(err, check_between(err, l, run, variant, w->official));
  if (w->form != RN_FORM_RECURRENT) RN_TRY(err, check_backward(err, l, run, variant, w->official));
  return RN_OK;
}

static rn_status run_variants(rn_err *err, layer_case *l) {
  const layer_variant variants[] = {
      {"parallel", RN_SCALE_TS_PARALLEL, RN_FORM_PARALLEL, 0},
      {"parallel", RN_SCALE_TS_PARALLEL, RN_FORM_CHUNKWISE, 0},
      {"chunkwise", RN_SCALE_TS_CHUNKWISE, RN_FORM_CHUNKWISE, 0},
      {"recurrent", RN_SCALE_CANONICAL, RN_FORM_RECURRENT, 0},
      {"recurrent", RN_SCALE_CANONICAL, RN_FORM_PARALLEL, 0},
      {"recurrent", RN_SCALE_CANONICAL, RN_FORM_CHUNKWISE, 0},
      {"recurrent", RN_SCALE_CANONICAL, RN_FORM_CHUNKWISE, 1},
      {"recurrent", RN_SCALE_CANONICAL, RN_FORM_CHUNKWISE, 5},
      {"recurrent", RN_SCALE_CANONICAL, RN_FORM_CHUNKWISE, l->T},
  };
  for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
    block_run run = {0};
    rn_status status = run_variant(err, l, &variants[i], &run);
    close_run(&run);
    if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  }
  return RN_OK;
}

rn_status RN_NAME(golden_run_layer)(rn_err *err, golden_case *c) {
  layer_case l = {.c = c};
  RN_TRY(err, golden_read_layer(err, c, &l.spec));
  RN_TRY(err, rn_param_table_create(err, &l.spec, 0, 1, &l.table));
  rn_status status = load_layer(err, c, &l);
  if (status == RN_OK) status = run_variants(err, &l);
  rn_param_table_destroy(&l.table);
  return status;
}
