#include "trainer/layout/layout.h"

#include "proto/base/range.h"
#include "trainer/schedule/pipeline_schedule.h"

enum { MIN_TOKENS_CHOSEN = 32, MICROBATCH_TOKENS = 4096 };

static rn_status check_product(rn_err *err, const rn_layout *l, int ranks) {
  if ((int64_t)l->data * l->pipeline * l->sequence == ranks) return RN_OK;
  return rn_fail(
      err, RN_ERR_USAGE,
      "parallel.data %d x parallel.pipeline %d x parallel.sequence %d does not equal the number of "
      "ranks, %d: change the keys (0: chosen automatically) or the number of ranks",
      l->data, l->pipeline, l->sequence, ranks);
}

/* True if the model has attention layers. */
static bool has_attention(const Retnet__Model *model) {
  return model->arch == RETNET__ARCH__ARCH_TRANSFORMER || model->n_attention_layers > 0;
}

/* Returns the key that selects attention layers, for messages. */
static const char *attention_key(const Retnet__Model *model) {
  return model->n_attention_layers > 0 ? "model.attention_layers" : "model.arch transformer";
}

/*
 * Replaces zeros in the grid: sets pipeline to 1, data to the largest possible divisor of the
 * batch, and sequence to the number of remaining ranks.
 */
static rn_status fill_grid(rn_err *err, const Retnet__Config *config, int ranks, rn_layout *l) {
  const Retnet__Parallel *p = config->parallel;
  *l = (rn_layout){
      .data = p->data, .pipeline = p->pipeline > 0 ? p->pipeline : 1, .sequence = p->sequence};
  int64_t given =
      (int64_t)l->pipeline * (l->data > 0 ? l->data : 1) * (l->sequence > 0 ? l->sequence : 1);
  if (given > ranks || ranks % given != 0) {
    if (l->data == 0) l->data = 1;
    if (l->sequence == 0) l->sequence = 1;
    return check_product(err, l, ranks);
  }
  int rest = (int)(ranks / given);
  if (l->data == 0) {
    l->data = (int)rn_common_divisor(rest, config->data->batch_sequences);
    rest /= l->data;
  }
  if (l->sequence == 0) {
    l->sequence = rest;
    if (rest > 1 && config->data->sequence_length / rest < MIN_TOKENS_CHOSEN) {
      return rn_fail(err, RN_ERR_USAGE,
                     "with %d ranks, each sequence is divided among %d ranks, so there are fewer "
                     "than %d tokens per rank: raise data.sequence_length %d or "
                     "data.batch_sequences %d, start fewer ranks, or set parallel.sequence",
                     ranks, rest, MIN_TOKENS_CHOSEN, config->data->sequence_length,
                     config->data->batch_sequences);
    }
  }
  return check_product(err, l, ranks);
}

static rn_status check_data(rn_err *err, const Retnet__Config *config, const rn_layout *l) {
  const Retnet__Data *data = config->data;
  if (l->data > data->batch_sequences) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.data %d is above data.batch_sequences %d: each data rank needs at "
                   "least one sequence",
                   l->data, data->batch_sequences);
  }
  return RN_OK;
}

static rn_status check_pieces(rn_err *err, const Retnet__Config *config, int layers,
                              const rn_layout *l) {
  const Retnet__Data *data = config->data;
  if ((int64_t)l->sequence * l->segments > data->sequence_length) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.sequence %d x parallel.segments %d is above data.sequence_length %d: "
                   "each segment needs at least one token",
                   l->sequence, l->segments, data->sequence_length);
  }
  if (l->pipeline > layers) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "parallel.pipeline %d is above model.layers %d: each stage needs at least one layer",
        l->pipeline, layers);
  }
  return RN_OK;
}

/*
 * Checks that the retention scale is allowed for the layout. The scales of the official
 * implementation depend on where the sequence or its chunks begin.
 */
static rn_status check_scale(rn_err *err, const Retnet__Config *config, const rn_layout *l) {
  const int pieces = l->sequence * l->segments, chunk = config->model->chunk;
  switch (config->model->retention_scale) {
    case RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_PARALLEL:
      if (pieces == 1) return RN_OK;
      return rn_fail(err, RN_ERR_USAGE,
                     "model.retention_scale ts_parallel needs the whole sequence on one rank: set "
                     "parallel.sequence and parallel.segments to 1 (they are %d and %d)",
                     l->sequence, l->segments);
    case RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_CHUNKWISE:
      if (pieces == 1 || config->data->sequence_length % ((int64_t)pieces * chunk) == 0) {
        return RN_OK;
      }
      return rn_fail(
          err, RN_ERR_USAGE,
          "model.retention_scale ts_chunkwise needs segment lengths that are multiples of "
          "model.chunk %d: data.sequence_length %d cannot be cut into %d such segments",
          chunk, config->data->sequence_length, pieces);
    default:
      return RN_OK;
  }
}

/*
 * Checks that attention layers support the configuration. In reproducible mode, if a sequence is
 * cut into pieces (rn_layout_piece), each must consist of whole blocks of queries. data.carry_state
 * must be false, because keys and values are not kept from step to step.
 */
static rn_status check_attention(rn_err *err, const Retnet__Config *config, const rn_layout *l) {
  if (!has_attention(config->model)) return RN_OK;
  const char *key = attention_key(config->model);
  if (l->sequence * l->segments > 1 && l->reduction_block % RN_SPEC_QUERY_BLOCK != 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "run.reproducible: with %s, run.leaf %d must be a multiple of %d if sequences "
                   "are divided among ranks or into segments",
                   key, l->reduction_block, RN_SPEC_QUERY_BLOCK);
  }
  if (config->data->carry_state) {
    return rn_fail(err, RN_ERR_USAGE,
                   "attention layers (%s) keep no state from step to step: set data.carry_state to "
                   "false",
                   key);
  }
  return RN_OK;
}

/*
 * Returns the maximum number of tokens of one sequence that a rank works on, in all segments
 * together.
 */
static int64_t tokens_of_rank(const Retnet__Config *config, const rn_layout *l) {
  return (config->data->sequence_length + l->sequence - 1) / l->sequence;
}

static rn_status fill_microbatch(rn_err *err, const Retnet__Config *config, rn_layout *l) {
  const int share = (config->data->batch_sequences + l->data - 1) / l->data;
  const int given = config->parallel->microbatch;
  if (given > share) {
    return rn_fail(err, RN_ERR_USAGE,
                   "parallel.microbatch %d is above the %d sequences of a data rank "
                   "(data.batch_sequences %d / parallel.data %d)",
                   given, share, config->data->batch_sequences, l->data);
  }
  const int64_t tokens = tokens_of_rank(config, l);
  int fewest = (int)((MICROBATCH_TOKENS + tokens - 1) / tokens);
  if (l->pipeline > 1) fewest = 1;
  l->microbatch = given > 0 ? given : fewest < share ? fewest : share;
  return RN_OK;
}

/* By default, the reduction block is the largest power of two that is at most T/16, limited to [16,
 * 512], or with attention layers to [128, 512]. */
int rn_layout_reduction_block(const Retnet__Config *config) {
  enum { MIN_BLOCK = 16, MAX_BLOCK = 512 };
  const bool attends = has_attention(config->model);
  if (!config->run->reproducible) return 0;
  if (config->run->leaf > 0) return config->run->leaf;
  int reduction_block = attends ? RN_SPEC_QUERY_BLOCK : MIN_BLOCK;
  while (reduction_block < MAX_BLOCK && 2 * reduction_block <= config->data->sequence_length / 16)
    reduction_block *= 2;
  return reduction_block;
}

/*
 * Checks the conditions of reproducible mode: there is at least one reduction block for each piece
 * of a sequence, and no key makes results depend on the layout.
 */
static rn_status check_reproducible(rn_err *err, const Retnet__Config *config, const rn_layout *l) {
  if (l->reduction_block == 0) return RN_OK;
  const int reduction_blocks =
      (config->data->sequence_length + l->reduction_block - 1) / l->reduction_block;
  if (l->sequence * l->segments > reduction_blocks) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "run.reproducible: each segment of a sequence needs at least one reduction block of "
        "run.leaf %d tokens, but data.sequence_length %d consists of only %d blocks, which do not "
        "suffice for parallel.sequence %d x parallel.segments %d segments",
        l->reduction_block, config->data->sequence_length, reduction_blocks, l->sequence,
        l->segments);
  }
  const Retnet__Scan scan = config->parallel->scan;
  if (scan != RETNET__SCAN__SCAN_AUTO && scan != RETNET__SCAN__SCAN_CHAIN) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "run.reproducible sums states in a fixed order: parallel.scan must be auto or chain");
  }
  if (config->parallel->scan_epsilon > 0) {
    return rn_fail(err, RN_ERR_USAGE, "run.reproducible needs parallel.scan_epsilon 0, not %g",
                   config->parallel->scan_epsilon);
  }
  if (config->optimizer->eps < 1e-9) {
    return rn_fail(err, RN_ERR_USAGE,
                   "run.reproducible rounds gradients to multiples of 2^-52: optimizer.eps %g must "
                   "be at least 1e-9",
                   config->optimizer->eps);
  }
  return RN_OK;
}

rn_range rn_layout_piece(const rn_layout *layout, int64_t length, int index) {
  const int pieces = layout->sequence * layout->segments;
  if (layout->reduction_block == 0) return rn_cut(length, pieces, index);
  const rn_range reduction_blocks =
      rn_cut((length + layout->reduction_block - 1) / layout->reduction_block, pieces, index);
  const int64_t begin = reduction_blocks.begin * layout->reduction_block,
                end = reduction_blocks.end * layout->reduction_block;
  return (rn_range){begin < length ? begin : length, end < length ? end : length};
}

/*
 * Rejects parallel.split_weight together with recomputation: recomputed activations exist only
 * until the end of the layer's backward phase, but a deferred weight phase would read them later.
 */
static rn_status check_split_weight(rn_err *err, const Retnet__Config *config) {
  if (config->parallel->split_weight != RETNET__SWITCH__SWITCH_ON ||
      config->train->recompute == RETNET__RECOMPUTE__RECOMPUTE_NONE) {
    return RN_OK;
  }
  return rn_fail(
      err, RN_ERR_USAGE,
      "parallel.split_weight=on does not work with recomputation, which does not keep the "
      "activations: set train.recompute=none or parallel.split_weight=auto");
}

/*
 * Returns the number of segments. Must be called after fill_microbatch, since the rule needs the
 * number of micro-batches, which does not depend on the number of segments.
 */
static int segments_of(const Retnet__Config *config, const rn_layout *l) {
  if (config->parallel->segments > 0) return config->parallel->segments;
  if (has_attention(config->model)) return 1;
  const int share = (config->data->batch_sequences + l->data - 1) / l->data;
  const int microbatches = (share + l->microbatch - 1) / l->microbatch;
  return rn_pipeline_schedule_segments(l->pipeline, microbatches, tokens_of_rank(config, l));
}

rn_status rn_layout_resolve(rn_err *err, const Retnet__Config *config, int layers, int ranks,
                            rn_layout *out) {
  RN_TRY(err, fill_grid(err, config, ranks, out));
  out->reduction_block = rn_layout_reduction_block(config);
  RN_TRY(err, check_data(err, config, out));
  RN_TRY(err, fill_microbatch(err, config, out));
  out->segments = segments_of(config, out);
  RN_TRY(err, check_pieces(err, config, layers, out));
  RN_TRY(err, check_attention(err, config, out));
  RN_TRY(err, check_reproducible(err, config, out));
  RN_TRY(err, check_split_weight(err, config));
  return check_scale(err, config, out);
}

int rn_layout_chunk_within(int reduction_block, int chunk) {
  return reduction_block < chunk ? reduction_block : (int)rn_common_divisor(reduction_block, chunk);
}

rn_status rn_layout_fit_chunk(rn_err *err, const Retnet__Config *config, const rn_layout *layout,
                              rn_spec *spec) {
  const int reduction_block = layout->reduction_block, given = config->model->chunk;
  if (reduction_block == 0) return RN_OK;
  if (given > 0 && reduction_block % given != 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "run.reproducible: model.chunk %d does not divide run.leaf %d", given,
                   reduction_block);
  }
  spec->chunk = rn_layout_chunk_within(reduction_block, spec->chunk);
  return RN_OK;
}
