/* Checks that the grid depends only on the keys and the number of ranks. Keys that are 0 get the
 * documented values, and invalid combinations are rejected. */
#include "tests/support/check.h"
#include "trainer/layout/layout.h"

typedef struct keys {
  int batch, tokens, data, pipeline, sequence, microbatch, segments;
  bool reproducible;
} keys;

static rn_status resolve_with_scale(rn_err *err, keys k, Retnet__RetentionScale scale, int ranks,
                                    rn_layout *out) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Run run = RETNET__RUN__INIT;
  Retnet__Optimizer optimizer = RETNET__OPTIMIZER__INIT;
  Retnet__Model model = RETNET__MODEL__INIT;
  Retnet__Data data = RETNET__DATA__INIT;
  Retnet__Parallel parallel = RETNET__PARALLEL__INIT;
  config.run = &run;
  config.optimizer = &optimizer;
  config.model = &model;
  config.data = &data;
  config.parallel = &parallel;
  data.batch_sequences = k.batch;
  data.sequence_length = k.tokens;
  parallel.data = k.data;
  parallel.pipeline = k.pipeline;
  parallel.sequence = k.sequence;
  parallel.microbatch = k.microbatch;
  parallel.segments = k.segments;
  run.reproducible = k.reproducible;
  model.retention_scale = scale;
  model.chunk = 16;
  return rn_layout_resolve(err, &config, 4, ranks, out);
}

static rn_status resolve(rn_err *err, keys k, int ranks, rn_layout *out) {
  return resolve_with_scale(err, k, RETNET__RETENTION_SCALE__RETENTION_SCALE_CANONICAL, ranks, out);
}

static void check_grid(keys k, int ranks, int data, int sequence, int microbatch) {
  rn_err err = {0};
  rn_layout l;
  if (!CHECK_OK(&err, resolve(&err, k, ranks, &l))) return;
  CHECK_EQUAL(l.data, data);
  CHECK_EQUAL(l.sequence, sequence);
  CHECK_EQUAL(l.pipeline, 1);
  CHECK_EQUAL(l.microbatch, microbatch);
}

static void zeros_are_filled_data_first_then_sequence(void) {
  check_grid((keys){8, 2048, 0, 0, 0, 0, 0, false}, 1, 1, 1, 2);
  check_grid((keys){8, 2048, 0, 0, 0, 0, 0, false}, 8, 8, 1, 1);
  check_grid((keys){8, 2048, 0, 0, 0, 0, 0, false}, 64, 8, 8, 1);
  check_grid((keys){8, 2048, 0, 0, 4, 0, 0, false}, 4, 1, 4, 8);
  check_grid((keys){6, 2048, 0, 0, 0, 0, 0, false}, 4, 2, 2, 3);
  check_grid((keys){5, 100, 3, 0, 0, 0, 0, false}, 3, 3, 1, 2);
  check_grid((keys){8, 256, 2, 1, 3, 3, 0, false}, 6, 2, 3, 3);
}

/* By default a micro-batch has one sequence if there are several stages, since many small
 * micro-batches keep stages busy. */
static void stages_get_single_sequences(void) {
  rn_err err = {0};
  rn_layout l;
  if (!CHECK_OK(&err, resolve(&err, (keys){8, 256, 1, 2, 1, 0, 0, false}, 2, &l))) return;
  CHECK(l.pipeline == 2 && l.microbatch == 1);
}

static void official_scales_need_their_chunks_whole(void) {
  const Retnet__RetentionScale whole = RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_PARALLEL;
  const Retnet__RetentionScale chunks = RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_CHUNKWISE;
  const keys one = {8, 96, 1, 1, 1, 0, 0, false}, two = {8, 96, 1, 1, 2, 0, 0, false},
             four = {8, 96, 1, 1, 4, 0, 0, false};
  rn_err err = {0};
  rn_layout l;
  CHECK_OK(&err, resolve_with_scale(&err, one, whole, 1, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "ts_parallel|parallel.sequence",
              resolve_with_scale(&err, two, whole, 2, &l));
  CHECK_OK(&err, resolve_with_scale(&err, two, chunks, 2, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "ts_chunkwise|model.chunk 16",
              resolve_with_scale(&err, four, chunks, 4, &l));
}

/* Each token must be in one piece. In reproducible mode, pieces must begin at boundaries of
 * reduction blocks. */
static void check_pieces(keys k, int ranks, int reduction_block) {
  rn_err err = {0};
  rn_layout l;
  if (!CHECK_OK(&err, resolve(&err, k, ranks, &l))) return;
  CHECK_EQUAL(l.reduction_block, reduction_block);
  for (int64_t length = k.tokens; length > 0; length -= 37) {
    int64_t end = 0;
    for (int i = 0; i < l.sequence * l.segments; i++) {
      const rn_range piece = rn_layout_piece(&l, length, i);
      CHECK(piece.begin == end && piece.end >= end);
      CHECK(reduction_block == 0 || piece.begin % reduction_block == 0 || piece.begin == length);
      end = piece.end;
    }
    CHECK_EQUAL(end, length);
  }
}

static void segments_are_whole_reduction_blocks(void) {
  check_pieces((keys){2, 1000, 1, 1, 3, 0, 2, false}, 3, 0);
  check_pieces((keys){2, 1000, 1, 1, 3, 0, 2, true}, 3, 32);
  check_pieces((keys){2, 100, 1, 1, 7, 0, 1, true}, 7, 16);
  check_pieces((keys){2, 100000, 1, 1, 5, 0, 3, true}, 5, 512);
  rn_err err = {0};
  rn_layout l;
  CHECK_FAILS(&err, RN_ERR_USAGE, "run.leaf 16|data.sequence_length 100|parallel.sequence 8",
              resolve(&err, (keys){2, 100, 1, 1, 8, 0, 1, true}, 8, &l));
}

static void misfits_are_refused_by_key(void) {
  rn_err err = {0};
  rn_layout l;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.data 2|parallel.sequence 2|3",
              resolve(&err, (keys){8, 256, 2, 1, 2, 0, 0, false}, 3, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.data|data.batch_sequences",
              resolve(&err, (keys){2, 256, 3, 1, 1, 0, 0, false}, 3, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.sequence|data.sequence_length",
              resolve(&err, (keys){8, 3, 1, 1, 4, 0, 0, false}, 4, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.pipeline 5|model.layers 4",
              resolve(&err, (keys){8, 256, 1, 5, 1, 0, 0, false}, 5, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.microbatch 9",
              resolve(&err, (keys){8, 256, 1, 1, 1, 9, 0, false}, 1, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "32 tokens",
              resolve(&err, (keys){1, 64, 0, 0, 0, 0, 0, false}, 4, &l));
}

/* split_weight must be refused if activations are recomputed: it reads the activations of a layer
 * twice, in backward-input and in backward-weight, but recomputed ones are kept only for one of
 * these. */
static void split_weight_needs_kept_activations(void) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Run run = RETNET__RUN__INIT;
  Retnet__Model model = RETNET__MODEL__INIT;
  Retnet__Data data = RETNET__DATA__INIT;
  Retnet__Parallel parallel = RETNET__PARALLEL__INIT;
  Retnet__Train train = RETNET__TRAIN__INIT;
  rn_err err = {0};
  rn_layout l;
  config.run = &run;
  config.model = &model;
  config.data = &data;
  config.parallel = &parallel;
  config.train = &train;
  parallel.split_weight = RETNET__SWITCH__SWITCH_ON;
  CHECK_OK(&err, rn_layout_resolve(&err, &config, 4, 1, &l));
  train.recompute = RETNET__RECOMPUTE__RECOMPUTE_BLOCK;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.split_weight|train.recompute",
              rn_layout_resolve(&err, &config, 4, 1, &l));
}

int main(void) {
  zeros_are_filled_data_first_then_sequence();
  stages_get_single_sequences();
  official_scales_need_their_chunks_whole();
  segments_are_whole_reduction_blocks();
  misfits_are_refused_by_key();
  split_weight_needs_kept_activations();
  return check_result();
}
