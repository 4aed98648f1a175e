/* Checks that a token affects no earlier token and no other document, and that the number of
 * threads affects no result. */
#include <omp.h>

#include "tests/support/sets.h"
#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 13 };

static const char *const begins[] = {"------|------", "-------------"};

static test_model open(void) {
  rn_spec spec = test_spec();
  spec.chunk = 4;
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  test_documents(&m, 0, begins);
  return m;
}

static bool same_row(const test_model *a, const test_model *b, int sequence, int token) {
  int64_t at = (int64_t)(sequence * TOKENS + token) * a->spec.dim;
  return memcmp(a->y + at, b->y + at, (size_t)a->spec.dim * sizeof(rn_real)) == 0;
}

/* Sequence 0 contains two documents, tokens 0..5 and 6..12; sequence 1 is one document. */
static bool may_see(int sequence, int token, int other_sequence, int other) {
  if (sequence != other_sequence || other > token) return false;
  return sequence == 1 || (token >= 6) == (other >= 6);
}

static void a_token_reaches_its_own_future_only(rn_form form, const int *ends, int segments) {
  test_model kept = open(), changed = open();
  test_forward(&kept, form, ends, segments);
  for (int sequence = 0; sequence < SEQUENCES; sequence++) {
    for (int token = 0; token < TOKENS; token++) {
      int32_t *input = &changed.input[sequence * TOKENS + token], before = *input;
      *input = (before + 1) % changed.spec.vocab;
      test_forward(&changed, form, ends, segments);
      *input = before;
      for (int b = 0; b < SEQUENCES; b++) {
        for (int t = 0; t < TOKENS; t++) {
          CHECK(same_row(&kept, &changed, b, t) != may_see(b, t, sequence, token));
        }
      }
    }
  }
  test_model_close(&kept);
  test_model_close(&changed);
}

static void threads_do_not_change_bits(rn_spec spec) {
  enum { LONG = 90 };
  test_model m[2];
  for (int i = 0; i < 2; i++) {
    omp_set_num_threads(1 + 2 * i);
    m[i] = test_model_open(&spec, 3, LONG);
    m[i].train = true;
    test_step_whole(&m[i], RN_FORM_CHUNKWISE, true);
  }
  CHECK(memcmp(m[0].y, m[1].y, (size_t)(m[0].rows * spec.dim) * sizeof(rn_real)) == 0);
  CHECK(memcmp(m[0].gradient, m[1].gradient, (size_t)m[0].table->total * sizeof(rn_real)) == 0);
  for (int i = 0; i < 2; i++) test_model_close(&m[i]);
  omp_set_num_threads(2);
}

int main(void) {
  test_use_sets();
  static const int one[] = {TOKENS}, four[] = {3, 4, 9, TOKENS};
  for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
    a_token_reaches_its_own_future_only(form, one, 1);
    a_token_reaches_its_own_future_only(form, four, 4);
  }
  rn_spec spec = test_spec();
  spec.chunk = 32, spec.dropout = 0.1;
  threads_do_not_change_bits(spec);
  spec.head_norm = RN_HEAD_NORM_RMS_AFFINE, spec.block_norm = RN_BLOCK_NORM_LAYER;
  spec.tie_embeddings = spec.embedding_norm = true;
  threads_do_not_change_bits(spec);
  return check_result();
}
