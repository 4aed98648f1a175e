/*
 * retnet-bench decode measures how close decoding comes to the memory bandwidth.
 *
 * Decoding a token reads every weight once, and the weights are larger than the caches, so the
 * decoding of one sequence is limited by the memory read bandwidth. To measure this limit, the same
 * threads sweep over memory, reading only, between the decoding samples. Each sample is compared
 * with the sweeps before and after it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model/decode/decode.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/base/quantile.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"
#include "trainer/bench/bench_decode_grid.h"
#include "trainer/bench/bench_generator.h"
#include "trainer/bench/bench_sweep.h"
#include "trainer/machine/machine.h"

enum {
  ROUNDS = 11,
  TOKENS = RN_BENCH_GENERATOR_TOKENS,
  SWEEPS = 7,  /* read-only sweeps over memory per sample */
  LONG = 128,  /* samples of the long run, taken consecutively */
  BATCHES = 3, /* number of batch sizes: 1, 4 and 16 sequences */
  MAX_SLOTS = 16,
  BATCH_POSITION = 1000, /* position in the sequence at which the decoding of batches is timed */
  POSITIONS = 4,
  SWEEP_ELEMENTS = 1 << 25, /* per array: 128 MiB */
  SWEEP_ARRAYS = 3
};

static const int batches[BATCHES] = {1, 4, MAX_SLOTS};
/* Positions at which the time of a token is measured. Attention layers without a window keep the
 * keys and values of all earlier tokens, so for them position i > 0 is data.sequence_length /
 * divisors[i]. */
static const int64_t positions[POSITIONS] = {1, 1000, 100000, 1000000};
static const int64_t divisors[POSITIONS] = {0, 16, 4, 1};

typedef struct bench {
  int threads, rounds;
  bool bf16;           /* weights in bf16 */
  rn_decoder *decoder; /* has a slot for each of MAX_SLOTS sequences */
  rn_decoder *single;  /* decodes one sequence: the same object as `decoder`, or, if attention
                          layers without a window need memory for a long sequence, another one */
  rn_bench_generator generator;
  float *memory[SWEEP_ARRAYS];
  double read_s[RN_QUANTILE_MAX], triad_s[RN_QUANTILE_MAX];
  double batch_s[BATCHES][RN_QUANTILE_MAX];      /* time of a step */
  double share[BATCHES][RN_QUANTILE_MAX];        /* fraction of the memory bandwidth limit */
  double position_s[POSITIONS][RN_QUANTILE_MAX]; /* time of a step of one sequence */
  int64_t position[POSITIONS];
  int64_t position_bytes[POSITIONS]; /* resident memory at that position */
  size_t position_state[POSITIONS];  /* bytes of the state of the sequence at that position */
  double long_s[LONG];               /* time per token in the long run */
  int64_t long_bytes[2];             /* resident memory before and after the long run */
} bench;

/* ---- sweeps ---- */

static double sweep_bytes(int arrays) {
  return (double)arrays * SWEEP_ELEMENTS * sizeof(float);
}

/* Returns the median time of SWEEPS read-only sweeps over memory, to be compared with the median
 * time of decoding steps. */
static double time_read(bench *b) {
  float sum[RN_SWEEP_LANES];
  double sweep_s[SWEEPS];
  for (int i = 0; i < SWEEPS; i++) {
    const double begin_s = rn_clock_s();
    rn_sweep_read(SWEEP_ELEMENTS, b->memory[0], sum);
    sweep_s[i] = rn_clock_s() - begin_s;
    b->memory[2][0] = sum[0];
  }
  return rn_median(sweep_s, SWEEPS);
}

static double time_triad(bench *b) {
  const double begin_s = rn_clock_s();
  rn_sweep_triad(SWEEP_ELEMENTS, b->memory[0], b->memory[1], b->memory[2]);
  return rn_clock_s() - begin_s;
}

/* ---- decoding ---- */

static rn_decoder *decoder_of(const bench *b, int count) {
  return count == 1 ? b->single : b->decoder;
}

static double time_steps(bench *b, int count, int64_t position) {
  return rn_bench_generator_time_at(&b->generator, decoder_of(b, count), count, position);
}

static double limit_s(const bench *b, int count, double read_s) {
  return (double)rn_decoder_weight_bytes(b->decoder, count) * read_s / sweep_bytes(1);
}

/* Returns the size in bytes of the states, keys and values of one sequence at BATCH_POSITION. */
static double state_bytes(const bench *b) {
  return rn_decoder_state_bytes(b->decoder) / MAX_SLOTS;
}

/* Returns the fraction of the memory bandwidth limit that is reached, counting the traffic of the
 * states in addition to that of the weights. */
static double share_with_states(const bench *b, int batch) {
  const double weights = (double)rn_decoder_weight_bytes(b->decoder, batches[batch]);
  return rn_median(b->share[batch], b->rounds) *
         (1 + 2 * batches[batch] * state_bytes(b) / weights);
}

static void time_round(bench *b, int round) {
  double before_s = time_read(b);
  b->triad_s[round] = time_triad(b);
  b->read_s[round] = before_s;
  for (int i = 0; i < BATCHES; i++) {
    const double step_s = time_steps(b, batches[i], BATCH_POSITION), after_s = time_read(b);
    b->batch_s[i][round] = step_s;
    b->share[i][round] = limit_s(b, batches[i], (before_s + after_s) / 2) / step_s;
    before_s = after_s;
  }
  for (int i = 0; i < POSITIONS; i++) {
    b->position_s[i][round] = time_steps(b, 1, b->position[i]);
    b->position_bytes[i] = rn_machine_resident_bytes();
    b->position_state[i] = rn_decoder_saved_bytes(b->single, 0);
  }
}

static void time_long_run(bench *b) {
  rn_decoder_position_of(b->single, 0, 0);
  b->long_bytes[0] = rn_machine_resident_bytes();
  for (int i = 0; i < LONG; i++) {
    b->long_s[i] = rn_bench_generator_time(&b->generator, b->single, 1);
  }
  b->long_bytes[1] = rn_machine_resident_bytes();
}

static void measure(bench *b) {
  time_read(b);
  time_triad(b);
  time_steps(b, MAX_SLOTS, 0);
  for (int round = 0; round < b->rounds; round++) time_round(b, round);
  time_long_run(b);
}

/* ---- output ---- */

enum { QUARTER = LONG / 4 };

/* Computes the medians of the first and the last quarter of the long run. */
static void long_medians(const bench *b, double *first_s, double *last_s) {
  *first_s = rn_median(b->long_s, QUARTER);
  *last_s = rn_median(b->long_s + LONG - QUARTER, QUARTER);
}

static void print_json(const bench *b) {
  double first_s, last_s;
  long_medians(b, &first_s, &last_s);
  const double read_s = rn_median(b->read_s, b->rounds), triad_s = rn_median(b->triad_s, b->rounds);
  printf("{\"precision\": \"%s\", \"threads\": %d, \"rounds\": %d, ", b->bf16 ? "bf16" : "fp32",
         b->threads, b->rounds);
  printf("\"read_bytes_per_s\": %s, \"triad_bytes_per_s\": %s, \"sweep_bytes\": %.0f, ",
         RN_JSON(sweep_bytes(1) / read_s), RN_JSON(sweep_bytes(SWEEP_ARRAYS) / triad_s),
         sweep_bytes(1));
  printf("\"state_bytes\": %.0f, \"batches\": [", state_bytes(b));
  for (int i = 0; i < BATCHES; i++) {
    const double step_s = rn_median(b->batch_s[i], b->rounds);
    printf("%s{\"sequences\": %d, \"step_s\": %s, \"tokens_per_s\": %s, ", i > 0 ? ", " : "",
           batches[i], RN_JSON(step_s), RN_JSON(batches[i] / step_s));
    printf("\"weight_bytes\": %zu, \"share\": %s}", rn_decoder_weight_bytes(b->decoder, batches[i]),
           RN_JSON(rn_median(b->share[i], b->rounds)));
  }
  printf("], \"positions\": [");
  for (int i = 0; i < POSITIONS; i++) {
    printf("%s{\"position\": %lld, \"token_s\": %s, \"resident_bytes\": %lld, ", i > 0 ? ", " : "",
           (long long)b->position[i], RN_JSON(rn_median(b->position_s[i], b->rounds)),
           (long long)b->position_bytes[i]);
    printf("\"state_bytes\": %zu}", b->position_state[i]);
  }
  printf("], \"long_run\": {\"tokens\": %d, \"first_token_s\": %s, \"last_token_s\": %s, ",
         LONG * TOKENS, RN_JSON(first_s), RN_JSON(last_s));
  printf("\"grown_bytes\": %lld}}\n", (long long)(b->long_bytes[1] - b->long_bytes[0]));
}

static void print_table(const bench *b) {
  double first_s, last_s;
  long_medians(b, &first_s, &last_s);
  printf("%d threads, %s weights; medians of %d samples of %d tokens each\n", b->threads,
         b->bf16 ? "bf16" : "fp32", b->rounds, TOKENS);
  printf(
      "memory bandwidth: read %.1f GB/s (sweep over %.0f MiB, used as the limit), triad %.1f "
      "GB/s\n",
      1e-9 * sweep_bytes(1) / rn_median(b->read_s, b->rounds), sweep_bytes(1) / (1 << 20),
      1e-9 * sweep_bytes(SWEEP_ARRAYS) / rn_median(b->triad_s, b->rounds));
  printf(
      "states: %.2f MiB per sequence, read and written for each token\n"
      "\n",
      state_bytes(b) / (1 << 20));
  printf("%9s %10s %10s %12s %8s %12s\n", "sequences", "ms", "tokens/s", "MB weights", "% limit",
         "with states");
  for (int i = 0; i < BATCHES; i++) {
    const double step_s = rn_median(b->batch_s[i], b->rounds);
    printf("%9d %10.3f %10.1f %12.1f %8.1f %12.1f\n", batches[i], 1e3 * step_s, batches[i] / step_s,
           1e-6 * (double)rn_decoder_weight_bytes(b->decoder, batches[i]),
           100 * rn_median(b->share[i], b->rounds), 100 * share_with_states(b, i));
  }
  printf("\n%9s %10s %10s %10s\n", "position", "ms/token", "MiB", "MiB state");
  for (int i = 0; i < POSITIONS; i++) {
    printf("%9lld %10.3f %10.1f %10.2f\n", (long long)b->position[i],
           1e3 * rn_median(b->position_s[i], b->rounds), (double)b->position_bytes[i] / (1 << 20),
           (double)b->position_state[i] / (1 << 20));
  }
  printf(
      "\n"
      "%d consecutive tokens: %.3f ms/token in the first quarter, %.3f in the last; memory grew by "
      "%lld bytes\n",
      LONG * TOKENS, 1e3 * first_s, 1e3 * last_s, (long long)(b->long_bytes[1] - b->long_bytes[0]));
}

/* ---- setup ---- */

static rn_status make_decoders(rn_err *err, const rn_spec *spec, int64_t length, bench *b) {
  const bool grows =
      rn_spec_attention_layers(spec, 0, spec->layers) > 0 && spec->attention_window == 0;
  const int64_t longest = length > LONG * TOKENS ? length : LONG * TOKENS;
  const rn_decoder_shape batch = {MAX_SLOTS, BATCH_POSITION + TOKENS, b->bf16};
  const rn_decoder_shape single = {1, longest + TOKENS, b->bf16};
  for (int i = 0; i < POSITIONS; i++) {
    b->position[i] = !grows ? positions[i] : i > 0 ? length / divisors[i] : 1;
  }
  RN_TRY(err, rn_bench_generator_decoder(err, spec, batch, &b->generator, &b->decoder));
  b->single = b->decoder;
  if (!grows) return RN_OK;
  return rn_bench_generator_decoder(err, spec, single, &b->generator, &b->single);
}

static rn_status make(rn_err *err, const Retnet__Config *config, bench *b) {
  rn_spec spec;
  RN_TRY(err, rn_spec_from_config(err, config, 0, &spec));
  RN_TRY(err, rn_bench_generator_create(err, &spec, MAX_SLOTS, &b->generator));
  RN_TRY(err, make_decoders(err, &spec, config->data->sequence_length, b));
  for (int i = 0; i < SWEEP_ARRAYS; i++) {
    RN_TRY(err, rn_alloc(err, "memory", SWEEP_ELEMENTS, sizeof(float), &b->memory[i]));
    for (int64_t j = 0; j < SWEEP_ELEMENTS; j++) b->memory[i][j] = 1e-3f;
  }
  return RN_OK;
}

static void destroy(bench *b) {
  if (b->single != b->decoder) rn_decoder_destroy(&b->single);
  rn_decoder_destroy(&b->decoder);
  for (int i = 0; i < SWEEP_ARRAYS; i++) free(b->memory[i]);
  rn_bench_generator_destroy(&b->generator);
  free(b);
}

/* Decoding with bf16 weights needs no bf16 instructions, so it is allowed on CPUs where the other
 * benchmarks refuse bf16. */
static rn_status start(rn_err *err, rn_world *world, const rn_bench_options *options,
                       Retnet__Config **config, bench *b) {
  static const char *const names[] = {"fp32", "bf16"};
  rn_bench_options rest = *options;
  int bf16 = 0;
  RN_TRY(err, rn_bench_check_precision(err, options));
  rest.precision = NULL;
  if (options->precision != NULL) {
    RN_TRY(err, rn_args_choose(err, "--precision", options->precision, names, 2, &bf16));
  }
  RN_TRY(err, rn_bench_start(err, world, &rest, config, &b->threads));
  b->bf16 = bf16 == 1 || (*config)->train->precision == RETNET__PRECISION__PRECISION_BF16;
  return RN_OK;
}

static rn_status run(rn_err *err, rn_world *world, const rn_bench_options *options, bench *b) {
  Retnet__Config *config = NULL;
  rn_status status = start(err, world, options, &config, b);
  if (status == RN_OK && (options->positions != NULL || options->sequences != NULL)) {
    const rn_bench_decode_setup setup = {config, b->threads, b->rounds, b->bf16};
    status = rn_bench_decode_grid(err, world, options, setup);
  } else if (status == RN_OK) {
    status = rn_agree(err, world, make(err, config, b));
    if (status == RN_OK) measure(b);
    if (status == RN_OK && rn_world_rank(world) == 0) (options->json ? print_json : print_table)(b);
  }
  rn_options_free(&config);
  return status;
}

rn_status rn_bench_decode(rn_err *err, rn_world *world, const rn_bench_options *options) {
  bench *b = NULL;
  RN_TRY(err, rn_agree(err, world, rn_alloc(err, "bench", 1, sizeof *b, &b)));
  b->rounds = options->rounds > 0 ? (int)options->rounds : ROUNDS;
  const rn_status status = run(err, world, options, b);
  destroy(b);
  return status;
}
