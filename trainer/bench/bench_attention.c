/*
 * retnet-bench attention: softmax attention without its projections, forward and backward, compared
 * with the best GEMM rate.
 *
 * FLOP are counted as for FlashAttention-2 (arXiv 2307.08691): for each visible pair of query and
 * key, 2 products in forward, and 5 in backward, which recomputes the scores. A second rate
 * counts the FLOP of the model, with only 4 products in backward: without the recomputation.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/attention/attention.h"
#include "model/kernel/gemm.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/bench/bench_rate.h"

enum { ROUNDS = 7, MAX_KEYS = 64 };

static const double sample_s = 0.05;

typedef struct bench {
  rn_world *world;
  int rounds, sequences, tokens;
  rn_spec spec;
  rn_attention attention;
  rn_attention_view view;
  rn_attention_grads grads;
  rn_matrix o;
  float *lse, *delta;
  int32_t *doc_position;
  rn_arena memory;
  double forward_s[RN_QUANTILE_MAX], backward_s[RN_QUANTILE_MAX], gemm_flops_per_s;
} bench;

/* ---- arrays ---- */

/* Allocates an array [rows, cols] filled with small numbers of both signs. */
static rn_array take(bench *b, int64_t rows, int64_t cols, bool bf16) {
  const rn_array x = {rn_arena_take(&b->memory, (size_t)(rows * cols) * rn_element_bytes(bf16)),
                      bf16};
  for (int64_t i = 0; i < rows * cols; i++) {
    const float value = (float)(i * 7919 % 2039) / 1020 - 1;
    if (bf16) {
      rn_array_bf16s(x)[i] = rn_bf16_of(value);
    } else {
      rn_array_reals(x)[i] = value;
    }
  }
  return x;
}

static rn_status create(rn_err *err, const Retnet__Config *config, bench *b) {
  RN_TRY(err, rn_spec_from_config(err, config, 0, &b->spec));
  b->sequences = config->data->batch_sequences;
  b->tokens = config->data->sequence_length;
  const rn_attention shape = rn_attention_shape(&b->spec, b->sequences, b->tokens);
  const int64_t rows = (int64_t)b->sequences * b->tokens, D = b->spec.dim;
  const bool bf16 = rn_gemm_takes_bf16();
  const int values = shape.kv_heads * shape.width, pair = rn_row_distance(2 * values, bf16);
  const size_t elements = (size_t)rows * (size_t)(4 * D + 2 * pair + 3 * shape.heads);
  RN_TRY(err, rn_attention_create(err, &shape, &b->attention));
  RN_TRY(err, rn_arena_create(err, elements * sizeof(float) + 16 * rn_arena_round(1), &b->memory));
  const rn_array kv = take(b, rows, pair, bf16);
  b->view = (rn_attention_view){.sequences = b->sequences,
                                .tokens = b->tokens,
                                .q = {take(b, rows, D, bf16), D},
                                .k = {kv, pair},
                                .v = {rn_array_from(kv, values), pair}};
  b->o = (rn_matrix){take(b, rows, D, bf16), D};
  b->grads = (rn_attention_grads){.d_o = {take(b, rows, D, bf16), D}, .ldkv = pair};
  b->grads.dq = rn_array_reals(take(b, rows, D, false));
  b->grads.dk = rn_array_reals(take(b, rows, pair, false));
  b->grads.dv = b->grads.dk + values;
  b->lse = rn_array_reals(take(b, rows, shape.heads, false));
  b->delta = rn_array_reals(take(b, rows, shape.heads, false));
  b->doc_position = rn_arena_take(&b->memory, (size_t)rows * sizeof *b->doc_position);
  for (int64_t row = 0; row < rows; row++) b->doc_position[row] = (int32_t)(row % b->tokens);
  b->view.doc_position = b->doc_position;
  return RN_OK;
}

static void destroy(bench *b) {
  rn_attention_destroy(&b->attention);
  rn_arena_destroy(&b->memory);
}

/* ---- time ---- */

static void forward(bench *b) {
  rn_attention_forward(&b->attention, &b->view, b->o, b->lse);
}

static void backward(bench *b) {
  rn_attention_backward(&b->attention, &b->view, b->o, b->lse, b->delta, &b->grads);
}

/* Returns the mean seconds of one run, measured over at least sample_s seconds. */
static double time_run(bench *b, void (*run)(bench *)) {
  const double begin_s = rn_clock_s();
  int times = 0;
  do {
    run(b);
    times++;
  } while (rn_clock_s() - begin_s < sample_s);
  return (rn_clock_s() - begin_s) / times;
}

/* Samples attention and the fastest products alternately, so that other load on the machine slows
 * both. */
static rn_status measure(rn_err *err, bench *b, int threads) {
  rn_rate rate = {0};
  rn_status status = rn_agree(err, b->world, rn_rate_create(err, b->world, threads, &rate));
  if (status == RN_OK) status = rn_agree(err, b->world, rn_rate_add_best(err, &rate));
  forward(b);
  backward(b);
  for (int i = 0; status == RN_OK && i < b->rounds; i++) {
    b->forward_s[i] = time_run(b, forward);
    b->backward_s[i] = time_run(b, backward);
    status = rn_rate_sample(err, &rate);
  }
  if (status == RN_OK) {
    b->gemm_flops_per_s = rn_rate_flops_per_s(&rate, rn_rate_best(&rate)) / rn_world_size(b->world);
  }
  rn_rate_destroy(&rate);
  return status;
}

/* ---- output ---- */

/* One line of the output, for forward, backward or both. `flops` includes the recomputation in
 * backward; `model_flops` does not. */
typedef struct line {
  const char *name;
  double time_s, flops, model_flops;
} line;

/* Returns the FLOP of one matrix product over all visible pairs of query and key. */
static double product_flops(const bench *b) {
  const double T = b->tokens, w = b->spec.attention_window;
  const double pairs = w == 0 || w >= T ? T * (T + 1) / 2 : w * T - w * (w - 1) / 2;
  return 2.0 * b->sequences * b->spec.dim * pairs;
}

static void make_lines(const bench *b, line out[3]) {
  const double forward_s = rn_median(b->forward_s, b->rounds), one = product_flops(b);
  const double backward_s = rn_median(b->backward_s, b->rounds);
  out[0] = (line){"forward", forward_s, 2 * one, 2 * one};
  out[1] = (line){"backward", backward_s, 5 * one, 4 * one};
  out[2] = (line){"both", forward_s + backward_s, 7 * one, 6 * one};
}

static void print_json(const bench *b, const line *lines, const char *precision) {
  printf("{\"sequences\": %d, \"tokens\": %d, \"heads\": %d, \"kv_heads\": %d, \"width\": %d, ",
         b->sequences, b->tokens, b->attention.heads, b->attention.kv_heads, b->attention.width);
  printf("\"window\": %d, \"precision\": \"%s\", \"threads\": %d, \"gemm_flops_per_s\": %s",
         b->attention.window, precision, b->attention.threads, RN_JSON(b->gemm_flops_per_s));
  for (int i = 0; i < 3; i++) {
    const line *l = &lines[i];
    printf(", \"%s\": {\"seconds\": %s, \"flops_per_s\": %s, ", l->name, RN_JSON(l->time_s),
           RN_JSON(l->flops / l->time_s));
    printf("\"share\": %s, \"model_share\": %s}",
           RN_JSON(l->flops / l->time_s / b->gemm_flops_per_s),
           RN_JSON(l->model_flops / l->time_s / b->gemm_flops_per_s));
  }
  printf("}\n");
}

static void print_table(const bench *b, const line *lines, const char *precision) {
  printf(
      "attention: %d sequences of %d tokens, %d query heads of %d channels, %d key/value heads, "
      "window %d, %s\n",
      b->sequences, b->tokens, b->attention.heads, b->attention.width, b->attention.kv_heads,
      b->attention.window, precision);
  printf("%d threads; medians of %d samples; best GEMM %.1f GFLOP/s\n", b->attention.threads,
         b->rounds, 1e-9 * b->gemm_flops_per_s);
  printf("%-10s %10s %12s %14s %30s\n", "", "ms", "GFLOP/s", "% of GEMM rate",
         "% of GEMM rate (by model FLOP)");
  for (int i = 0; i < 3; i++) {
    const line *l = &lines[i];
    printf("%-10s %10.3f %12.1f %14.1f %30.1f\n", l->name, 1e3 * l->time_s,
           1e-9 * l->flops / l->time_s, 100 * l->flops / l->time_s / b->gemm_flops_per_s,
           100 * l->model_flops / l->time_s / b->gemm_flops_per_s);
  }
}

/* ---- command ---- */

static bool begins_with(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Puts the keys of a Transformer with 8 heads before the keys of the command line, which override
 * them. The number of heads is omitted if a preset sets it. */
static rn_status options_of(rn_err *err, const rn_bench_options *given, const char **words,
                            rn_bench_options *out) {
  const rn_words *keys = &given->keys;
  bool has_preset = false;
  int count = 0;
  if (keys->count > MAX_KEYS)
    return rn_fail(err, RN_ERR_USAGE, "more than %d -s options", MAX_KEYS);
  for (int i = 0; i < keys->count; i++) {
    has_preset = has_preset || begins_with(keys->word[i], "model.preset=");
  }
  words[count++] = "model.arch=transformer";
  if (!has_preset) words[count++] = "model.heads=8";
  for (int i = 0; i < keys->count; i++) words[count++] = keys->word[i];
  *out = *given;
  out->keys = (rn_words){.word = words, .count = count};
  return RN_OK;
}

rn_status rn_bench_attention(rn_err *err, rn_world *world, const rn_bench_options *given) {
  const char *words[MAX_KEYS + 2];
  Retnet__Config *config = NULL;
  rn_bench_options options;
  bench b = {.world = world, .rounds = given->rounds > 0 ? (int)given->rounds : ROUNDS};
  int threads = 1;
  RN_TRY(err, options_of(err, given, words, &options));
  rn_status status = rn_bench_start(err, world, &options, &config, &threads);
  if (status == RN_OK) status = rn_agree(err, world, create(err, config, &b));
  if (status == RN_OK) status = measure(err, &b, threads);
  if (status == RN_OK && rn_world_rank(world) == 0) {
    char precision[40];
    line lines[3];
    rn_bench_precision(config, precision, sizeof precision);
    make_lines(&b, lines);
    (options.json ? print_json : print_table)(&b, lines, precision);
  }
  destroy(&b);
  rn_options_free(&config);
  return status;
}
