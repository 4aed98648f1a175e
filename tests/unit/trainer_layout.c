/* The grid is a pure function of keys and ranks: zeros are filled as documented, misfits refused.
 */
#include "tests/support/check.h"
#include "trainer/layout.h"

typedef struct keys {
  int batch, tokens, data, pipeline, sequence, microbatch;
} keys;

static rn_status resolve(rn_err *err, keys k, int ranks, rn_layout *out) {
  Retnet__Config config = RETNET__CONFIG__INIT;
  Retnet__Model model = RETNET__MODEL__INIT;
  Retnet__Data data = RETNET__DATA__INIT;
  Retnet__Parallel parallel = RETNET__PARALLEL__INIT;
  config.model = &model;
  config.data = &data;
  config.parallel = &parallel;
  data.batch_sequences = k.batch;
  data.sequence_length = k.tokens;
  parallel.data = k.data;
  parallel.pipeline = k.pipeline;
  parallel.sequence = k.sequence;
  parallel.microbatch = k.microbatch;
  return rn_layout_resolve(err, &config, 4, ranks, out);
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
  check_grid((keys){8, 2048, 0, 0, 0, 0}, 1, 1, 1, 2);
  check_grid((keys){8, 2048, 0, 0, 0, 0}, 8, 8, 1, 1);
  check_grid((keys){8, 2048, 0, 0, 0, 0}, 64, 8, 8, 1);
  check_grid((keys){8, 2048, 0, 0, 4, 0}, 4, 1, 4, 8);
  check_grid((keys){6, 2048, 0, 0, 0, 0}, 4, 2, 2, 3);
  check_grid((keys){5, 100, 3, 0, 0, 0}, 3, 3, 1, 2);
  check_grid((keys){8, 256, 2, 1, 3, 3}, 6, 2, 3, 3);
}

static void misfits_are_refused_by_key(void) {
  rn_err err = {0};
  rn_layout l;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.data 2|parallel.sequence 2|3",
              resolve(&err, (keys){8, 256, 2, 1, 2, 0}, 3, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.data|data.batch_sequences",
              resolve(&err, (keys){2, 256, 3, 1, 1, 0}, 3, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.sequence|data.sequence_length",
              resolve(&err, (keys){8, 3, 1, 1, 4, 0}, 4, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.pipeline 5|model.layers 4",
              resolve(&err, (keys){8, 256, 1, 5, 1, 0}, 5, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.microbatch 9",
              resolve(&err, (keys){8, 256, 1, 1, 1, 9}, 1, &l));
  CHECK_FAILS(&err, RN_ERR_USAGE, "32 tokens", resolve(&err, (keys){1, 64, 0, 0, 0, 0}, 4, &l));
}

int main(void) {
  zeros_are_filled_data_first_then_sequence();
  misfits_are_refused_by_key();
  return check_result();
}
