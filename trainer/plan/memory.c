#include "trainer/plan/memory.h"

#include <stdlib.h>

#include "comm/optimizer/reduce_scatter.h"
#include "data/batch/batch.h"
#include "data/checkpoint/ckpt.h"
#include "data/shard/shard.h"
#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"
#include "trainer/layout/layer_split.h"
#include "trainer/optimizer/shard_table.h"
#include "trainer/parallel/shapes.h"
#include "trainer/parallel/tbptt_streams.h"

enum { FIRST, INNER, LAST, POSITIONS };

size_t rn_memory_total(const rn_memory *m) {
  return m->weights + m->gradients + m->optimizer + m->activations + m->work + m->states +
         m->buffers + m->program;
}

/* Returns the index of the first, an inner or the last rank of the sequence axis. */
static int rank_at_position(const rn_layout *layout, int position) {
  return position == FIRST ? 0 : position == LAST ? layout->sequence - 1 : layout->sequence / 2;
}

static size_t buffers_of(const Retnet__Config *config, const rn_layout *layout, int64_t share,
                         int64_t own, int64_t longest, int senders) {
  const int sequences = (int)(share > layout->microbatch ? share : layout->microbatch);
  const size_t batches =
      (size_t)layout->segments *
      rn_batch_bytes(sequences, rn_shapes_tokens(config, layout), config->data->sequence_length);
  const size_t frame = (size_t)rn_smaller(own, RN_CKPT_FRAME_ELEMENTS) * sizeof(float);
  const size_t copy = config->checkpoint->async ? (size_t)own * 3 * sizeof(float) : 0;
  return batches + RN_SHARD_BLOCK_TOKENS * sizeof(int32_t) + 2 * frame + copy +
         rn_reduce_scatter_bytes(senders, longest,
                                 layout->reduction_block > 0 ? RN_REDUCE_EXACT : RN_REDUCE_FLOAT);
}

/* Returns the largest number of ranks whose gradients a rank receives in messages. Ranks of one
 * node read each other's gradients in place; this estimate relies on that only if there is a single
 * node. */
static int senders_of(const Retnet__Config *config, const rn_layout *layout, rn_machine machine) {
  const int64_t replicas = (int64_t)layout->data * layout->sequence;
  const bool one_node = replicas * layout->pipeline <= machine.ranks;
  const bool share = config->parallel->share_gradients != RETNET__SWITCH__SWITCH_OFF;
  return one_node && share ? 0 : (int)replicas - 1;
}

static size_t states_of(const Retnet__Config *config, const rn_spec *spec, const rn_layout *layout,
                        int layers, int64_t share, int position) {
  const rn_scan_source_shape scan = rn_shapes_scan(config, layout, layers);
  return rn_scan_source_bytes(spec, scan, rank_at_position(layout, position), layout->sequence) +
         (config->data->carry_state ? rn_tbptt_streams_bytes(spec, layers, share) : 0);
}

/* The run for which memory is planned. */
typedef struct planned_run {
  const Retnet__Config *config;
  const rn_spec *spec;
  const rn_layout *layout;
  rn_machine machine;
} planned_run;

/*
 * Measures one stage. The first, inner and last ranks of the sequence axis differ only in their
 * scan buffers.
 */
static rn_status measure_stage(rn_err *err, const planned_run *run, int stage,
                               rn_memory_plan *plan) {
  const Retnet__Config *config = run->config;
  const rn_layout *layout = run->layout;
  const int replicas = layout->data * layout->sequence;
  const int64_t share = rn_range_count(rn_cut(config->data->batch_sequences, layout->data, 0));
  const rn_range layers = {plan->first[stage], plan->first[stage + 1]};
  const size_t sum_bytes = layout->reduction_block > 0 ? sizeof(int64_t) : sizeof(float);
  const size_t exact_bytes = layout->reduction_block > 0 && replicas > 1 ? sizeof(int64_t) : 0;
  const size_t own_sum_bytes = layout->reduction_block > 0 || replicas > 1 ? sizeof(float) : 0;
  rn_pipeline_sizes sizes;
  const rn_pipeline_shape pipeline = rn_shapes_pipeline(config, layout, stage, layers, share);
  rn_row_source_shape rows;
  RN_TRY(err, rn_pipeline_measure(err, run->spec, pipeline, &sizes));
  RN_TRY(err, rn_shapes_rows(err, config, layout, &pipeline, &rows));
  const int64_t total = sizes.parameters, own = rn_shard_table_max_elements(total, replicas);
  const int64_t longest = rn_shard_table_max_bucket(total, replicas);
  plan->parameters[stage] = total;
  plan->weights[stage] = (size_t)total * sizeof(float) + sizes.copy_bytes;
  plan->pool[stage] = sizes.pool;
  for (int position = FIRST; position < POSITIONS; position++) {
    rn_memory *m = &plan->memory[stage * POSITIONS + position];
    m->weights = plan->weights[stage];
    m->gradients = (size_t)total * sum_bytes;
    m->optimizer = (size_t)own * (2 * sizeof(float) + own_sum_bytes + exact_bytes);
    m->activations = sizes.activation_bytes;
    m->work = sizes.work_bytes;
    m->states = states_of(config, run->spec, layout, (int)rn_range_count(layers), share, position) +
                rn_row_source_bytes(run->spec, rows);
    m->buffers =
        buffers_of(config, layout, share, own, longest, senders_of(config, layout, run->machine));
  }
  return RN_OK;
}

/*
 * True if the node whose first rank is `begin` contains a rank that is lower than r and belongs to
 * the same stage as r.
 */
static bool has_lower_peer(const rn_layout *layout, int64_t r, int64_t begin) {
  const int64_t last_of_row_before =
      (r / layout->sequence - layout->pipeline + 1) * layout->sequence - 1;
  return (r % layout->sequence > 0 && r > begin) || last_of_row_before >= begin;
}

/*
 * Returns the first rank of the next node to examine after the node at `begin`, or the number of
 * ranks if there is none. Skips nodes that are equivalent to nodes already examined, so that only a
 * few nodes are examined for any number of ranks. Nodes that contain only inner ranks of one
 * sequence are equivalent, and the pattern of nodes repeats after lcm(ranks per node, pipeline x
 * sequence) ranks.
 */
static int64_t next_node(const rn_layout *layout, int64_t node_ranks, int64_t begin) {
  const int64_t S = layout->sequence, all = S * layout->pipeline, ranks = all * layout->data;
  const int64_t period = node_ranks / rn_common_divisor(node_ranks, all) * all;
  const int64_t row_end = (begin / S + 1) * S - 1, next = begin + node_ranks;
  const bool inner = begin % S != 0 && next - 1 < row_end;
  const int64_t last = row_end / node_ranks * node_ranks;
  const int64_t found = inner && last > next ? last : next;
  return found < period ? found : ranks;
}

static int64_t node_end(const rn_layout *layout, int64_t node_ranks, int64_t begin) {
  const int64_t ranks = (int64_t)layout->data * layout->pipeline * layout->sequence;
  return rn_smaller(begin + node_ranks, ranks);
}

/*
 * True if at least one node has several ranks of one stage, and the shared memory of every node has
 * room for one copy of the weights of each stage on that node.
 */
static bool can_share(const rn_memory_plan *plan, const rn_layout *layout, rn_machine machine) {
  const int64_t ranks = (int64_t)layout->data * layout->pipeline * layout->sequence;
  const int64_t n = machine.ranks;
  bool peers_exist = false;
  for (int64_t begin = 0; begin < ranks; begin = next_node(layout, n, begin)) {
    size_t node = 0;
    for (int64_t r = begin; r < node_end(layout, n, begin); r++) {
      if (has_lower_peer(layout, r, begin)) {
        peers_exist = true;
      } else {
        node += rn_memory_of_rank(plan, layout, (int)r)->weights;
      }
    }
    if (node > (size_t)machine.shared_bytes) return false;
  }
  return peers_exist;
}

/*
 * Subtracts the shared fp32 weights that a rank does not access. If matrix products read a bf16
 * shadow, a rank accesses only the fp32 weights that it updates and those that it casts for its
 * node.
 */
static void exclude_unread_weights(const rn_layout *layout, rn_machine machine,
                                   rn_memory_plan *plan) {
  const int64_t replicas = (int64_t)layout->data * layout->sequence;
  int64_t sharing = rn_smaller(replicas, machine.ranks / layout->pipeline);
  if (sharing < 2) return;
  for (int i = 0; i < plan->stages * POSITIONS; i++) {
    const size_t whole = (size_t)plan->parameters[i / POSITIONS] * sizeof(float);
    const size_t seen = whole / (size_t)replicas + whole / (size_t)sharing;
    if (plan->memory[i].weights > whole && seen < whole) plan->memory[i].weights -= whole - seen;
  }
}

static rn_status take(rn_err *err, rn_memory_plan *plan) {
  const size_t stages = (size_t)plan->stages;
  RN_TRY(err, rn_alloc(err, "plan", stages + 1, sizeof *plan->first, &plan->first));
  RN_TRY(err, rn_alloc(err, "plan", stages, sizeof *plan->parameters, &plan->parameters));
  RN_TRY(err, rn_alloc(err, "plan", stages, sizeof *plan->weights, &plan->weights));
  RN_TRY(err, rn_alloc(err, "plan", stages, sizeof *plan->pool, &plan->pool));
  return rn_alloc(err, "plan", stages * POSITIONS, sizeof *plan->memory, &plan->memory);
}

static int planned_threads(rn_machine machine) {
  return machine.max_threads > 0 ? machine.max_threads : rn_threads();
}

rn_status rn_memory_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                const rn_layout *layout, rn_machine machine, rn_memory_plan *out) {
  const planned_run run = {config, spec, layout, machine};
  *out = (rn_memory_plan){.stages = layout->pipeline};
  rn_status status = take(err, out);
  if (status == RN_OK) {
    status = rn_layer_split(err, spec, config->parallel, layout->pipeline, out->first);
  }
  const int threads = rn_threads_assume(planned_threads(machine));
  for (int s = 0; status == RN_OK && s < layout->pipeline; s++) {
    status = measure_stage(err, &run, s, out);
  }
  (void)rn_threads_assume(threads);
  if (status != RN_OK) {
    rn_memory_plan_destroy(out);
    return status;
  }
  for (int i = 0; i < out->stages * POSITIONS; i++) out->memory[i].program = machine.program_bytes;
  out->shared = config->parallel->share_weights != RETNET__SWITCH__SWITCH_OFF &&
                can_share(out, layout, machine);
  if (out->shared) exclude_unread_weights(layout, machine, out);
  return RN_OK;
}

void rn_memory_plan_destroy(rn_memory_plan *plan) {
  free(plan->first);
  free(plan->parameters);
  free(plan->weights);
  free(plan->pool);
  free(plan->memory);
  *plan = (rn_memory_plan){0};
}

const rn_memory *rn_memory_of_rank(const rn_memory_plan *plan, const rn_layout *layout, int rank) {
  const int position = rank % layout->sequence;
  const int stage = rank / layout->sequence % layout->pipeline;
  const int kind = position == 0 ? FIRST : position == layout->sequence - 1 ? LAST : INNER;
  return &plan->memory[stage * POSITIONS + kind];
}

const rn_memory *rn_memory_largest_rank(const rn_memory_plan *plan) {
  const rn_memory *max = plan->memory;
  for (int i = 1; i < plan->stages * POSITIONS; i++) {
    if (rn_memory_total(&plan->memory[i]) > rn_memory_total(max)) max = &plan->memory[i];
  }
  return max;
}

int rn_memory_largest_stage(const rn_memory_plan *plan) {
  return (int)(rn_memory_largest_rank(plan) - plan->memory) / POSITIONS;
}

size_t rn_memory_largest_node(const rn_memory_plan *plan, const rn_layout *layout, int node_ranks) {
  const int64_t ranks = (int64_t)layout->data * layout->pipeline * layout->sequence;
  size_t max = 0;
  for (int64_t begin = 0; begin < ranks; begin = next_node(layout, node_ranks, begin)) {
    size_t node = 0;
    for (int64_t r = begin; r < node_end(layout, node_ranks, begin); r++) {
      const rn_memory *m = rn_memory_of_rank(plan, layout, (int)r);
      node += rn_memory_total(m);
      if (plan->shared) {
        const size_t once = plan->weights[r / layout->sequence % layout->pipeline];
        node += (has_lower_peer(layout, r, begin) ? 0 : once) - m->weights;
      }
    }
    if (node > max) max = node;
  }
  return max;
}
