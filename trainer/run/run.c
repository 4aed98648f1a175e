#include "trainer/run/run.h"

#include <stdlib.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "trainer/launch/launch.h"
#include "trainer/layout/layer_split.h"
#include "trainer/parallel/shapes.h"

static rn_status check_documents(rn_err *err, const rn_run *run) {
  const bool by_weights = run->spec.retention_scale == RN_SCALE_TS_PARALLEL ||
                          run->spec.retention_scale == RN_SCALE_TS_CHUNKWISE;
  if (by_weights && run->config->data->carry_state) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.retention_scale ts_* belongs to whole sequences: set data.carry_state to "
                   "false");
  }
  if (!by_weights || !run->config->data->reset_at_documents) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "model.retention_scale ts_* cannot reset at documents: set "
                 "data.reset_at_documents to false");
}

/* The model's vocabulary is that of the train split, so the val split must match it. */
static rn_status check_val_kind(rn_err *err, const rn_run *run) {
  const Retnet__ShardHeader *train = rn_split_header(&run->train),
                            *val = rn_split_header(&run->val);
  if (val->tokenizer_hash == train->tokenizer_hash && val->vocabulary == train->vocabulary &&
      val->document_token == train->document_token) {
    return RN_OK;
  }
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s: its val split has another tokenizer or vocabulary than its train split; build "
      "both by one `retnet-data build`",
      run->given->data->dir);
}

static rn_status open_data(rn_err *err, rn_run *run) {
  const Retnet__Data *data = run->given->data;
  if (data->dir == NULL) return RN_OK;
  RN_TRY(err, rn_split_open(err, data->dir, "train", &run->train));
  run->has_train = true;
  if (rn_split_sequences(&run->train, data->sequence_length) < 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: %lld tokens are too few for data.sequence_length %d (one more is needed)",
                   data->dir, (long long)run->train.tokens, data->sequence_length);
  }
  if (rn_file_exists(rn_path_join(data->dir, "val").text)) {
    RN_TRY(err, rn_split_open(err, data->dir, "val", &run->val));
    run->has_val = true;
    RN_TRY(err, check_val_kind(err, run));
  }
  return RN_OK;
}

/* All ranks derive their work from the data, so it must be identical everywhere. */
static rn_status check_same_data(rn_err *err, rn_run *run) {
  const uint64_t train[2] = {run->train.content, (uint64_t)run->train.tokens};
  const uint64_t val[3] = {run->has_val, run->val.content, (uint64_t)run->val.tokens};
  RN_TRY(err, rn_world_check_same(err, run->world, "the training data", train, sizeof train));
  return rn_world_check_same(err, run->world, "the validation data", val, sizeof val);
}

/* The steps that need no communication. */
static rn_status plan_run(rn_err *err, rn_machine machine, rn_run *run) {
  RN_TRY(err, open_data(err, run));
  const int vocab = run->has_train ? (int)rn_split_header(&run->train)->vocabulary : 0;
  RN_TRY(err, rn_effective_create(err, run->given, vocab, &run->effective));
  const Retnet__Config *c = run->config = run->effective.config;
  const Retnet__Optimizer *o = c->optimizer;
  run->spec = run->effective.spec;
  RN_TRY(err, check_documents(err, run));
  const char *lack = NULL;
  RN_TRY(err, rn_gemm_backend_use(err, c->model->products, c->train->precision, &lack));
  if (lack != NULL) rn_log_warn("train.precision bf16: %s; products are in fp32", lack);
  RN_TRY(err, rn_plan_create(err, c, &run->spec, rn_world_size(run->world), machine, &run->plan));
  run->layout = run->plan.layout;
  RN_TRY(err, rn_layout_fit_chunk(err, c, &run->layout, &run->spec));
  run->adamw = (rn_adamw){o->beta1, o->beta2, o->eps, o->weight_decay, (rn_eps_mode)o->eps_mode};
  run->schedule =
      (rn_lr_schedule){.rule = (rn_lr_rule)o->schedule,
                       .peak = o->lr,
                       .min_lr = o->min_lr,
                       .warmup_steps = o->warmup_steps,
                       .decay_steps = o->decay_steps > 0 ? o->decay_steps : c->train->steps};
  return RN_OK;
}

/* Applies a checkpoint's choices. Another chunk length changes the workspace, so the plan is made
 * again. */
static rn_status apply_choices(rn_err *err, rn_machine machine, const rn_choices *choices,
                               rn_run *run) {
  const Retnet__Config *c = run->config;
  int chunk = run->spec.chunk;
  RN_TRY(err,
         rn_choices_apply(err, run->world, choices, (rn_choices_now){c, &run->layout}, &chunk));
  if (chunk == run->spec.chunk) return RN_OK;
  run->spec.chunk = chunk;
  rn_plan_destroy(&run->plan);
  return rn_agree(
      err, run->world,
      rn_plan_create(err, c, &run->spec, rn_world_size(run->world), machine, &run->plan));
}

/* Allocates the batches of this rank, one per segment, and the units. */
static rn_status make_bands(rn_err *err, rn_run *run, int most_tokens) {
  const int length = run->config->data->sequence_length, size = run->layout.microbatch;
  const int64_t share = rn_range_count(run->share);
  const int sequences = (int)(share > size ? share : size);
  const size_t bands = (size_t)run->layout.segments;
  RN_TRY(err, rn_alloc(err, "batches", bands, sizeof *run->band, &run->band));
  for (int k = 0; k < run->layout.segments; k++) {
    RN_TRY(err, rn_batch_create(err, sequences, most_tokens, length, &run->band[k]));
  }
  return rn_alloc(err, "units", bands * (size_t)rn_shapes_microbatches(&run->layout, sequences),
                  sizeof *run->unit, &run->unit);
}

static rn_status make_pipeline(rn_err *err, rn_run *run) {
  const rn_pipeline_shape shape =
      rn_shapes_pipeline(run->config, &run->layout, rn_grid_pipeline(run->grid), run->layers,
                         rn_range_count(run->share));
  return rn_pipeline_create(err, &run->spec, shape, run->p2p, &run->pipeline);
}

/* The shards of this rank, and the blocks for the gradient norm. */
static rn_status make_shares(rn_err *err, rn_run *run) {
  const rn_param_table *table = rn_layer_stack_table(run->pipeline.stage);
  run->total = table->total;
  RN_TRY(err, rn_reduction_blocks_create(err, &run->spec, table, &run->blocks));
  RN_TRY(err, rn_alloc(err, "squares of blocks", (size_t)run->blocks.total, sizeof(double),
                       &run->block_squares));
  return rn_shard_table_create(err, table, (int)rn_range_count(run->layers),
                               rn_grid_replica_size(run->grid), rn_grid_replica(run->grid),
                               &run->shard_table);
}

static bool is_alone(const rn_run *run) {
  return rn_grid_replica_size(run->grid) == 1;
}

/* Reproducible mode: exact sums of gradients, and losses by reduction block. With one replica the
 * local sums are the final ones. */
static rn_status make_exact_sink(rn_err *err, rn_run *run) {
  const size_t own = (size_t)run->shard_table.count, total = (size_t)run->total;
  const int batch = run->config->data->batch_sequences,
            reduction_block = run->layout.reduction_block;
  run->block_losses.reduction_block = reduction_block;
  run->block_losses.each =
      (run->config->data->sequence_length + reduction_block - 1) / reduction_block;
  run->accumulator.reduction_blocks = run->block_losses.each * batch;
  RN_TRY(err, rn_alloc(err, "exact gradients", total, sizeof(int64_t), &run->accumulator.exact));
  run->own_exact = run->accumulator.exact;
  if (!is_alone(run)) {
    RN_TRY(err, rn_alloc(err, "exact sums", own, sizeof(int64_t), &run->own_exact));
  }
  RN_TRY(err, rn_alloc(err, "sums of gradients", own, sizeof(float), &run->own_gradient));
  return rn_alloc(err, "losses of leaves", (size_t)run->accumulator.reduction_blocks + 1,
                  sizeof(double), &run->block_losses.loss);
}

/* Allocates the gradient accumulator: fp32, or exact in reproducible mode. */
static rn_status make_sink(rn_err *err, rn_run *run) {
  run->accumulator.total = run->total;
  if (run->layout.reduction_block > 0) return make_exact_sink(err, run);
  RN_TRY(err,
         rn_alloc(err, "gradients", (size_t)run->total, sizeof(float), &run->accumulator.gradient));
  run->own_gradient = run->accumulator.gradient;
  if (is_alone(run)) return RN_OK;
  return rn_alloc(err, "sums of gradients", (size_t)run->shard_table.count, sizeof(float),
                  &run->own_gradient);
}

static rn_status make_moments(rn_err *err, rn_run *run) {
  const size_t own = (size_t)run->shard_table.count;
  RN_TRY(err, rn_alloc(err, "first moments", own, sizeof(float), &run->exp_avg));
  return rn_alloc(err, "second moments", own, sizeof(float), &run->exp_avg_sq);
}

rn_status rn_run_fetch_weights(rn_err *err, rn_run *run) {
  run->weights.rounded = false;
  RN_TRY(err, rn_all_gather_start(err, run->weights.all_gather));
  return rn_all_gather_finish(err, run->weights.all_gather);
}

rn_status rn_run_cast_weights(rn_err *err, rn_run *run) {
  const rn_node *node = run->weights.node;
  if (rn_layer_stack_bf16_shadow_bytes(run->pipeline.stage) == 0 || run->weights.rounded)
    return RN_OK;
  RN_TRY(err, rn_all_gather_finish(err, run->weights.all_gather));
  rn_layer_stack_cast_weights(run->pipeline.stage, run->params,
                              rn_cut(run->total, rn_node_size(node), rn_node_index(node)));
  run->weights.rounded = true;
  return rn_node_barrier(err, node);
}

/* Every rank initializes its own shards and fetches the others. */
static rn_status make_weights(rn_err *err, rn_run *run) {
  const rn_param_table *table = rn_layer_stack_table(run->pipeline.stage);
  const uint64_t seed = (uint64_t)run->config->run->seed;
  rn_progress_begin("initial weights", 0);
  RN_TRY(err, rn_weights_create(err, run->config, run->world, run->grid, &run->shard_table.shards,
                                run->total, rn_layer_stack_bf16_shadow_bytes(run->pipeline.stage),
                                &run->weights));
  run->params = rn_shared_array_memory(run->weights.memory);
  if (run->weights.copy != NULL) {
    rn_layer_stack_use_bf16_shadow(run->pipeline.stage, rn_shared_array_memory(run->weights.copy));
  }
  run->pipeline.params = run->params;
  for (int i = 0; i < run->shard_table.slices; i++) {
    const rn_range mine = run->shard_table.slice[i].range;
    rn_param_init_values(table, seed, mine.begin, mine.end, run->params + mine.begin);
    rn_progress_unit();
  }
  return rn_run_fetch_weights(err, run);
}

/* The layer group with the tied embedding, whose gradient is reduced later since the other end of
 * the pipeline adds to it first; -1: none. */
static int tied_part(const rn_run *run) {
  if (run->p2p == NULL || !run->spec.tie_embeddings) return -1;
  if (rn_pipeline_p2p_is_first(run->p2p)) return 0;
  return rn_pipeline_p2p_is_last(run->p2p) ? run->pipeline.head : -1;
}

static rn_status make_exchange(rn_err *err, rn_run *run) {
  const bool exact = run->accumulator.exact != NULL;
  run->optimizer = (rn_distributed_optimizer){.shard_table = &run->shard_table,
                                              .all_gather = run->weights.all_gather,
                                              .held = tied_part(run)};
  const rn_reduce_operands operands =
      exact ? (rn_reduce_operands){RN_REDUCE_EXACT, run->accumulator.exact, run->own_exact}
            : (rn_reduce_operands){RN_REDUCE_FLOAT, run->accumulator.gradient, run->own_gradient};
  RN_TRY(err, rn_reduce_scatter_create(err, run->grid, &run->shard_table.shards, operands,
                                       &run->optimizer.reduce_scatter));
  rn_pipeline_attach(&run->pipeline, &run->optimizer);
  return RN_OK;
}

static rn_status make_streams(rn_err *err, rn_run *run) {
  const Retnet__Data *data = run->config->data;
  if (!data->carry_state) return RN_OK;
  const rn_tbptt_streams_shape shape = {
      .split_sequences = rn_split_sequences(&run->train, data->sequence_length),
      .batch = data->batch_sequences,
      .share = run->share,
      .microbatch = run->layout.microbatch,
      .layers = (int)rn_range_count(run->layers)};
  return rn_tbptt_streams_create(err, &run->spec, shape, &run->streams);
}

/* Allocates what is local to this rank. */
static rn_status make_state(rn_err *err, rn_run *run) {
  RN_TRY(err, make_bands(err, run, rn_shapes_tokens(run->config, &run->layout)));
  RN_TRY(err, make_pipeline(err, run));
  RN_TRY(err, make_streams(err, run));
  RN_TRY(err, make_shares(err, run));
  RN_TRY(err, make_sink(err, run));
  return make_moments(err, run);
}

/* The layers of this rank's stage. */
static rn_status choose_layers(rn_err *err, rn_run *run) {
  const int stages = run->layout.pipeline, stage = rn_grid_pipeline(run->grid);
  int *first;
  RN_TRY(err, rn_alloc(err, "layers of stages", (size_t)stages + 1, sizeof *first, &first));
  rn_status status = rn_layer_split(err, &run->spec, run->config->parallel, stages, first);
  if (status == RN_OK) run->layers = (rn_range){first[stage], first[stage + 1]};
  free(first);
  return status;
}

/* The grid, and what communicates along its axes. */
static rn_status make_grid(rn_err *err, const rn_choices *choices, rn_run *run) {
  const rn_layout *l = &run->layout;
  RN_TRY(err, rn_grid_create(err, run->world, l->data, l->pipeline, l->sequence, &run->grid));
  run->share = rn_cut(run->config->data->batch_sequences, l->data, rn_grid_data(run->grid));
  RN_TRY(err, rn_agree(err, run->world, choose_layers(err, run)));
  if (l->pipeline > 1)
    RN_TRY(err, rn_pipeline_p2p_create(err, run->grid, run->spec.dim, &run->p2p));
  rn_scan_source_shape scan = rn_shapes_scan(run->config, l, (int)rn_range_count(run->layers));
  if (choices != NULL) {
    rn_choices_scan(choices, (rn_choices_now){run->config, l},
                    rn_scan_name(rn_scan_source_choose(&run->spec, scan, l->sequence)),
                    &scan.wanted);
  }
  return rn_scan_source_create(err, run->grid, &run->spec, scan, &run->scan);
}

/* Called last, when everything that the thread makes progress on exists. */
static rn_status start_comm_thread(rn_err *err, rn_run *run) {
  RN_TRY(err,
         rn_launch_comm_thread(err, run->world, run->config->parallel->comm_thread, run->threads,
                               rn_world_size(run->world) > 1, &run->comm_thread));
  rn_scan_use_thread(run->scan.scan, run->comm_thread);
  if (run->p2p != NULL) rn_pipeline_p2p_use_thread(run->p2p, run->comm_thread);
  run->pipeline.comm_thread = run->optimizer.comm_thread = run->comm_thread;
  return RN_OK;
}

rn_status rn_run_create(rn_err *err, const Retnet__Config *given, rn_world *world, rn_run *out) {
  return rn_run_create_from(err, given, NULL, world, out);
}

rn_status rn_run_create_from(rn_err *err, const Retnet__Config *given, const rn_choices *choices,
                             rn_world *world, rn_run *out) {
  rn_machine machine;
  *out = (rn_run){.given = given, .world = world};
  rn_progress_begin("plan", 0);
  RN_TRY(err, rn_machine_query(err, world, given, 0, &machine));
  out->threads = machine.threads;
  rn_threads_start(out->threads);
  rn_status status;
  if ((status = rn_agree(err, world, plan_run(err, machine, out))) != RN_OK ||
      (status = check_same_data(err, out)) != RN_OK ||
      (choices != NULL && (status = apply_choices(err, machine, choices, out)) != RN_OK) ||
      (status = rn_agree(err, world, make_grid(err, choices, out))) != RN_OK ||
      (status = rn_agree(err, world, make_state(err, out))) != RN_OK ||
      (status = make_weights(err, out)) != RN_OK || (status = make_exchange(err, out)) != RN_OK ||
      (status = start_comm_thread(err, out)) != RN_OK) {
    if (status != RN_ERR_MPI) rn_run_destroy(out);
  }
  return status;
}

void rn_run_destroy(rn_run *run) {
  rn_comm_thread_stop(&run->comm_thread);
  rn_plan_destroy(&run->plan);
  rn_pipeline_destroy(&run->pipeline);
  for (int k = 0; run->band != NULL && k < run->layout.segments; k++) {
    rn_batch_destroy(&run->band[k]);
  }
  free(run->band);
  free(run->unit);
  rn_split_close(&run->train);
  rn_split_close(&run->val);
  rn_scan_source_destroy(&run->scan);
  rn_tbptt_streams_destroy(&run->streams);
  rn_pipeline_p2p_destroy(&run->p2p);
  rn_reduce_scatter_destroy(&run->optimizer.reduce_scatter);
  rn_weights_destroy(&run->weights);
  rn_grid_destroy(&run->grid);
  rn_shard_table_destroy(&run->shard_table);
  rn_reduction_blocks_destroy(&run->blocks);
  free(run->block_squares);
  if (run->own_gradient != run->accumulator.gradient) free(run->own_gradient);
  free(run->accumulator.gradient);
  if (run->own_exact != run->accumulator.exact) free(run->own_exact);
  free(run->accumulator.exact);
  free(run->block_losses.loss);
  free(run->exp_avg);
  free(run->exp_avg_sq);
  rn_effective_destroy(&run->effective);
  *run = (rn_run){0};
}

rn_range rn_run_piece(const rn_run *run, int64_t length, int band) {
  return rn_layout_piece(&run->layout, length,
                         band * run->layout.sequence + rn_grid_sequence(run->grid));
}

int64_t rn_run_targets(const rn_run *run) {
  int64_t tokens = 0;
  for (int k = 0; k < run->layout.segments; k++) {
    tokens += rn_range_count(rn_run_piece(run, run->config->data->sequence_length, k));
  }
  return tokens * rn_range_count(run->share);
}

/* The unit of sequences first .. last-1 of one segment's batch. */
static rn_unit unit_of(const rn_batch *b, int reduction_block, int first, int last) {
  const int64_t row = (int64_t)first * b->tokens;
  return (rn_unit){.sequences = last - first,
                   .tokens = b->tokens,
                   .reduction_block = reduction_block,
                   .input = b->input + row,
                   .target = b->target + row,
                   .doc_position = b->doc_position + row,
                   .sequence_index = b->sequence_index + first,
                   .position = b->position};
}

void rn_run_set_units(rn_run *run, int sequences, int64_t step, int64_t position) {
  const int size = run->layout.microbatch, segments = run->layout.segments;
  run->microbatches = rn_shapes_microbatches(&run->layout, sequences);
  for (int m = 0; m < run->microbatches; m++) {
    const int first = m * size, last = first + size < sequences ? first + size : sequences;
    for (int k = 0; k < segments; k++) {
      rn_unit *unit = &run->unit[m * segments + k];
      *unit = unit_of(&run->band[k], run->layout.reduction_block, first, last);
      unit->position += position;
      unit->step = step;
    }
  }
}
