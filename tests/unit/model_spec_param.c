/* Checks that initial values depend only on (seed, name, element) and have the standard
 * deviations of the official code, and that the parameter table has no gaps and no overlaps. */
#include "model/spec/param.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/gradient.h"

static rn_spec small_spec(void) {
  return (rn_spec){.layers = 3,
                   .dim = 512,
                   .value_dim = 864,
                   .ffn_dim = 864,
                   .heads = 2,
                   .vocab = 300,
                   .gate = true,
                   .pre_norm = true,
                   .norm_eps = 1e-6,
                   .chunk = 64};
}

static rn_param_table *table_of(const rn_spec *spec, int first, int last) {
  rn_err err = {0};
  rn_param_table *table = NULL;
  CHECK_OK(&err, rn_param_table_create(&err, spec, first, last, &table));
  return table;
}

static double deviation_of(const rn_param_table *table, const char *name, uint64_t seed) {
  const rn_param *param = rn_param_find(table, name);
  if (!CHECK(param != NULL)) return 0;
  int64_t n = param->rows * param->cols;
  rn_real *values = malloc((size_t)n * sizeof values[0]);
  rn_param_init_values(table, seed, param->offset, param->offset + n, values);
  double mean = 0;
  for (int64_t i = 0; i < n; i++) mean += (double)values[i] / (double)n;
  double square = test_dot(values, values, n) / (double)n;
  CHECK(fabs(mean) < 6 * sqrt(square / (double)n));
  free(values);
  return sqrt(square - mean * mean);
}

/* Compares standard deviations with those of the official code's tensors of these sizes. */
static void spreads_are_the_official_ones(void) {
  static const struct {
    const char *name;
    double deviation;
  } wanted[] = {{"layers.1.retention.q_proj.weight", 0.0078},
                {"layers.1.retention.k_proj.weight", 0.0078},
                {"layers.1.retention.v_proj.weight", 0.0067},
                {"layers.1.retention.g_proj.weight", 0.0067},
                {"layers.1.retention.out_proj.weight", 0.0191},
                {"layers.1.ffn.fc1.weight", 0.0255},
                {"layers.1.ffn.gate.weight", 0.0255},
                {"layers.1.ffn.fc2.weight", 0.0196},
                {"embed_tokens.weight", 0.0442},
                {"output_projection.weight", 0.0442}};
  rn_spec spec = small_spec(), deep = small_spec();
  deep.deepnorm = true;
  rn_param_table *table = table_of(&spec, 0, 3), *deep_table = table_of(&deep, 0, 3);
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
    const char *name = wanted[i].name;
    double got = deviation_of(table, name, 5);
    CHECK(fabs(got - wanted[i].deviation) < 0.00007 + 0.003 * wanted[i].deviation);
    bool shrunk = strstr(name, "fc") || strstr(name, "out_proj") || strstr(name, "v_proj");
    CHECK_NEAR(got / deviation_of(deep_table, name, 5), shrunk ? pow(24, 0.25) : 1.0, 1e-6);
  }
  rn_param_table_destroy(&table);
  rn_param_table_destroy(&deep_table);
  spec.init = RN_INIT_NORMAL002;
  table = table_of(&spec, 0, 3);
  CHECK_NEAR(deviation_of(table, "layers.2.ffn.fc2.weight", 5) / 0.02, 1, 0.01);
  CHECK_NEAR(deviation_of(table, "embed_tokens.weight", 5) / 0.02, 1, 0.01);
  rn_param_table_destroy(&table);
}

/* Checks that the value of an element is the same for any range, number of threads and division
 * into stages. */
static void an_element_does_not_depend_on_the_range(void) {
  rn_spec spec = small_spec();
  spec.dim = 64, spec.value_dim = 96, spec.ffn_dim = 80, spec.block_norm = RN_BLOCK_NORM_LAYER;
  rn_param_table *whole = table_of(&spec, 0, 3), *stage = table_of(&spec, 1, 2);
  rn_real *all = malloc((size_t)whole->total * sizeof all[0]);
  rn_real *part = malloc((size_t)whole->total * sizeof part[0]);
  rn_param_init_values(whole, 11, 0, whole->total, all);
  omp_set_num_threads(1);
  for (int64_t begin = 17; begin < whole->total; begin += whole->total / 3) {
    int64_t end = begin + 9001 < whole->total ? begin + 9001 : whole->total;
    rn_param_init_values(whole, 11, begin, end, part);
    CHECK(memcmp(all + begin, part, (size_t)(end - begin) * sizeof part[0]) == 0);
  }
  rn_param_init_values(stage, 11, 0, stage->total, part);
  CHECK(memcmp(all + whole->layer[1].retention_norm, part, (size_t)stage->total * sizeof part[0]) ==
        0);
  rn_param_init_values(whole, 12, 0, whole->total, part);
  CHECK(all[whole->layer[0].k] != part[whole->layer[0].k]);
  CHECK(all[whole->layer[0].k] != all[whole->layer[1].k]);
  CHECK(all[whole->layer[0].retention_norm] == 1);
  CHECK(all[whole->layer[0].retention_norm_bias] == 0);
  free(all);
  free(part);
  rn_param_table_destroy(&whole);
  rn_param_table_destroy(&stage);
}

static void tensors_tile_and_blocks_are_whole(void) {
  rn_spec spec = small_spec();
  spec.head_norm = RN_HEAD_NORM_RMS_AFFINE;
  rn_param_table *table = table_of(&spec, 0, 3);
  int64_t next = 0;
  for (int i = 0; i < table->count; i++) {
    CHECK_EQUAL(table->param[i].offset, next);
    next += table->param[i].rows * table->param[i].cols;
    CHECK(table->param[i].matrix == (strstr(table->param[i].name, "norm") == NULL));
  }
  CHECK_EQUAL(table->total, next);
  const rn_layer_params *l = &table->layer[2];
  CHECK_EQUAL(l->v - l->k, 512 * 512);
  CHECK_EQUAL(l->q - l->v, 864 * 512);
  CHECK_EQUAL(l->g - l->q, 512 * 512);
  CHECK_EQUAL(l->gate - l->fc1, 864 * 512);
  const rn_param *head_norm = rn_param_find(table, "layers.2.retention.g_norm.weight");
  CHECK(head_norm != NULL && head_norm->rows == 432 && head_norm->offset == l->head_norm);
  CHECK(rn_param_find(table, "layers.3.ffn.fc1.weight") == NULL);
  rn_param_table_destroy(&table);
}

static void a_tied_head_of_its_own_copies_the_embedding(void) {
  rn_spec spec = small_spec();
  spec.tie_embeddings = true;
  rn_param_table *whole = table_of(&spec, 0, 3), *last = table_of(&spec, 2, 3);
  CHECK(whole->output == whole->embedding && whole->embedding == 0);
  CHECK(rn_param_find(whole, "output_projection.weight") == NULL);
  CHECK(last->output == last->embedding && last->embedding > 0);
  CHECK(rn_param_find(last, "embed_tokens.weight") != NULL);
  rn_param_table_destroy(&whole);
  rn_param_table_destroy(&last);
}

int main(void) {
  spreads_are_the_official_ones();
  an_element_does_not_depend_on_the_range();
  tensors_tile_and_blocks_are_whole();
  a_tied_head_of_its_own_copies_the_embedding();
  return check_result();
}
