/* Checks that the first row of a document has full precision, however close to zero its only
 * score is, and that the number of threads does not change the result, bit for bit. */
#include <math.h>
#include <omp.h>

#include "tests/support/stage.h"

enum { SEQUENCES = 2, TOKENS = 300, D = 24, H = 2, K = D / H, V = 7 };

#ifdef RN_REAL_F64
static const double close = 1e-12;
#else
static const double close = 5e-6;
#endif

static double product(const rn_real *w, const double *x) {
  double sum = 0;
  for (int i = 0; i < D; i++) sum += (double)w[i] * x[i];
  return sum;
}

/* Computes the RMS norm of an embedding row, which is the input of the first layer. */
static void normed(const rn_real *row, const rn_real *weight, double eps, double *out) {
  double square = 0;
  for (int i = 0; i < D; i++) square += (double)row[i] * (double)row[i] / D;
  for (int i = 0; i < D; i++) out[i] = (double)weight[i] * (double)row[i] / sqrt(square + eps);
}

/* Computes the result of a document that consists of one token: y = row + headnorm((q . k) v) Wo.
 * Updates *min, the smallest absolute value of a score so far. */
static void one_token(const test_model *m, const rn_real *row, double *y, double *min) {
  const rn_layer_params *at = &m->table->layer[0];
  double x[D], z[H * V];
  normed(row, m->params + at->retention_norm, m->spec.norm_eps, x);
  for (int h = 0; h < H; h++) {
    double score = 0, square = 0, o[V];
    for (int d = h * K; d < (h + 1) * K; d++) {
      score += product(m->params + at->q + d * D, x) * product(m->params + at->k + d * D, x);
    }
    score /= sqrt(K);
    *min = fmin(*min, fabs(score));
    for (int e = 0; e < V; e++) {
      o[e] = score * product(m->params + at->v + (h * V + e) * D, x);
      square += o[e] * o[e] / V;
    }
    for (int e = 0; e < V; e++) z[h * V + e] = o[e] / sqrt(square + m->spec.norm_eps);
  }
  for (int i = 0; i < D; i++) {
    y[i] = (double)row[i];
    for (int e = 0; e < H * V; e++) y[i] += (double)m->params[at->out + i * H * V + e] * z[e];
  }
}

/* Opens a model in which every token begins a document and the feed-forward block adds nothing. */
static test_model open(void) {
  rn_spec spec = test_spec();
  spec.layers = 1, spec.dim = D, spec.heads = H, spec.value_dim = H * V, spec.vocab = 600;
  spec.gate = false, spec.norm_eps = 1e-6, spec.chunk = 16;
  test_model m = test_model_open(&spec, SEQUENCES, TOKENS);
  const rn_layer_params *at = &m.table->layer[0];
  memset(m.params + at->fc2, 0, (size_t)(D * spec.ffn_dim) * sizeof(rn_real));
  memset(m.doc_position, 0, (size_t)m.rows * sizeof m.doc_position[0]);
  return m;
}

/* Uses more threads than heads; documents begin in few of the rows. */
static void threads_do_not_change_bits(test_model *m) {
  rn_real *want = test_take((size_t)m->rows * D, sizeof(rn_real));
  for (int64_t r = 0; r < m->rows; r++) m->doc_position[r] = (int32_t)(r % TOKENS % 37);
  static const int threads[] = {1, 2, 3, 5, 8};
  for (int i = 0; i < 5; i++) {
    omp_set_num_threads(threads[i]);
    test_model again = open();
    memcpy(again.doc_position, m->doc_position, (size_t)m->rows * sizeof m->doc_position[0]);
    test_forward(&again, RN_FORM_CHUNKWISE, &again.tokens, 1);
    if (i == 0) memcpy(want, again.y, (size_t)m->rows * D * sizeof *want);
    CHECK(memcmp(again.y, want, (size_t)m->rows * D * sizeof *want) == 0);
    test_model_close(&again);
  }
  free(want);
}

int main(void) {
  test_model m = open();
  rn_real *want = test_take((size_t)m.rows * D, sizeof(rn_real));
  double y[D], min = INFINITY;
  for (int64_t r = 0; r < m.rows; r++) {
    one_token(&m, m.params + m.table->embedding + m.input[r] * D, y, &min);
    for (int i = 0; i < D; i++) want[r * D + i] = (rn_real)y[i];
  }
  CHECK(min < 0.01);
  for (rn_form form = RN_FORM_CHUNKWISE; form <= RN_FORM_RECURRENT; form++) {
    test_forward(&m, form, &m.tokens, 1);
    CHECK_ARRAY("rows", m.y, want, m.rows * D, close);
  }
  free(want);
  threads_do_not_change_bits(&m);
  test_model_close(&m);
  return check_result();
}
