/*
 * Checks that the update of the states of a few heads, which runs between the GEMMs, can be divided
 * among 64 threads. For any number of threads, the states must have the bits of a serial sum. Also
 * checks that the beginning of a document is detected in any range of tokens.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/retention/retention.h"
#include "tests/support/check.h"
#include "tests/support/stage.h"

enum { CHUNK = 32, TOKENS = 300, CHUNKS = (TOKENS + CHUNK - 1) / CHUNK, SEQUENCES = 2 };

static rn_err err;

static void states_are_work_for_64_threads(void) {
  static const int dims[] = {256, 512, 1024, 2048};
  for (int i = 0; i < 4; i++) {
    rn_spec spec = test_spec();
    spec.dim = dims[i], spec.value_dim = 2 * dims[i], spec.heads = dims[i] / 128;
    const rn_retention shape = rn_retention_shape(&spec, 2048);
    CHECK(rn_retention_slabs(&shape, 1) >= 64);
  }
}

/* Checks the decay tables of each layer for `model.decay: lightning`, where the decays differ
 * between layers. */
static void layers_have_their_own_decays(void) {
  rn_spec spec = test_spec();
  rn_retention core;
  spec.layers = 3, spec.decay = RN_DECAY_LIGHTNING;
  if (!CHECK_OK(&err, rn_retention_create(&err, &spec, TOKENS, &core))) return;
  for (int l = 0; l < spec.layers; l++) {
    double log_gamma[2];
    const rn_retention layer = rn_retention_of_layer(&core, l);
    rn_spec_log_decay(&spec, l, log_gamma);
    for (int h = 0; h < spec.heads; h++) {
      const double power = exp(7 * log_gamma[h]);
      CHECK(layer.log_gamma[h] == log_gamma[h]);
      CHECK_NEAR(layer.power[h * (TOKENS + 1) + 7], power, 1e-6);
      CHECK_NEAR(layer.decay[(h + 1) * (layer.chunk + 1) - 1 - 2], exp(2 * log_gamma[h]), 1e-6);
    }
  }
  rn_retention_destroy(&core);
}

static void documents_begin_where_they_begin(void) {
  int32_t position[TOKENS];
  int wrong = 0;
  for (int length = 1; length < 2 * CHUNK; length++) {
    for (int t = 0; t < TOKENS; t++) position[t] = (t + 7) % length;
    for (int from = 0; from < TOKENS; from += 5) {
      for (int tokens = 0; tokens <= CHUNK && from + tokens <= TOKENS; tokens++) {
        bool begins = false;
        for (int t = 0; t < tokens; t++) begins = begins || position[from + t] == 0;
        wrong += rn_retention_has_boundary(position + from, tokens) != begins;
      }
    }
  }
  CHECK_EQUAL(wrong, 0);
}

/* States of several heads; the number of elements of a head is not a multiple of the slab size. */
typedef struct fixture {
  rn_retention core;
  rn_retention_view view;
  int32_t doc_position[SEQUENCES * TOKENS];
  int64_t matrix, heads; /* elements of a state; number of heads of all sequences */
  rn_real *contributions, *before, *state, *received;
} fixture;

static size_t bytes_of(const fixture *f, int64_t chunks) {
  return (size_t)(chunks * f->heads * f->matrix) * sizeof(rn_real);
}

static void prepare(fixture *f) {
  rn_spec spec = test_spec();
  spec.dim = 3 * 20, spec.heads = 3, spec.value_dim = 3 * 117, spec.chunk = CHUNK;
  *f = (fixture){.matrix = 20 * 117, .heads = SEQUENCES * 3};
  CHECK_OK(&err, rn_retention_create(&err, &spec, TOKENS, &f->core));
  CHECK(f->matrix % RN_SLAB_ELEMENTS != 0 && f->matrix > RN_SLAB_ELEMENTS);
  for (int r = 0; r < SEQUENCES * TOKENS; r++)
    f->doc_position[r] = (r % TOKENS + r / TOKENS * 50) % 130;
  f->view = (rn_retention_view){
      .sequences = SEQUENCES, .tokens = TOKENS, .doc_position = f->doc_position};
  f->contributions = test_take(CHUNKS * (size_t)f->heads * (size_t)f->matrix, sizeof(rn_real));
  f->before = test_take(CHUNKS * (size_t)f->heads * (size_t)f->matrix, sizeof(rn_real));
  f->state = test_take((size_t)f->heads * (size_t)f->matrix, sizeof(rn_real));
  f->received = test_take((size_t)f->heads * (size_t)f->matrix, sizeof(rn_real));
  test_fill(f->contributions, CHUNKS * f->heads * f->matrix, 1, 1);
  test_fill(f->state, f->heads * f->matrix, 1, 2);
}

static void destroy(fixture *f) {
  rn_retention_destroy(&f->core);
  free(f->contributions);
  free(f->before);
  free(f->state);
  free(f->received);
}

static bool begins(const fixture *f, int64_t sequence, int chunk) {
  const int end = (chunk + 1) * CHUNK < TOKENS ? (chunk + 1) * CHUNK : TOKENS;
  for (int t = chunk * CHUNK; t < end; t++) {
    if (f->doc_position[sequence * TOKENS + t] == 0) return true;
  }
  return false;
}

/* Checks the state before each chunk, element by element. */
static void check_states(const fixture *f, const rn_real *first) {
  int64_t wrong = 0;
  for (int64_t i = 0; i < f->heads * f->matrix; i++) {
    const int64_t head = i / f->matrix;
    rn_real state = first[i];
    wrong += f->received[i] != first[i];
    for (int n = 0; n < CHUNKS; n++) {
      const int64_t at = n * f->heads * f->matrix + i;
      const int tokens = n + 1 < CHUNKS ? CHUNK : TOKENS - n * CHUNK;
      const rn_real decay = begins(f, head / f->core.heads, n)
                                ? 0
                                : f->core.power[head % f->core.heads * (TOKENS + 1) + tokens];
      wrong += f->before[at] != state;
      state = decay == 0 ? f->contributions[at] : decay * state + f->contributions[at];
    }
    wrong += f->state[i] != state;
  }
  CHECK_EQUAL(wrong, 0);
}

static void states_pass_from_chunk_to_chunk(int threads) {
  fixture f;
  omp_set_num_threads(threads);
  prepare(&f);
  rn_real *first = test_take((size_t)f.heads * (size_t)f.matrix, sizeof(rn_real));
  memcpy(first, f.state, bytes_of(&f, 1));
  rn_retention_propagate(
      &f.core, &f.view, RN_SCAN_FORWARD,
      &(rn_segment_states){f.state, f.received, f.contributions, rn_reals(f.before)});
  check_states(&f, first);
  free(first);
  destroy(&f);
}

int main(void) {
  static const int threads[] = {1, 2, 3, 5, 8};
  states_are_work_for_64_threads();
  layers_have_their_own_decays();
  documents_begin_where_they_begin();
  for (int i = 0; i < 5; i++) states_pass_from_chunk_to_chunk(threads[i]);
  return check_result();
}
