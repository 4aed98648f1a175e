#include "trainer/bench/bench_decode_grid.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/json.h"
#include "proto/base/quantile.h"
#include "trainer/bench/bench_counts.h"
#include "trainer/bench/bench_generator.h"

/* A pair of a position and a number of sequences, with its measurements. */
typedef struct cell {
  int sequences, position;
  double step_s[RN_QUANTILE_MAX]; /* [rounds] */
  size_t state_bytes;             /* bytes of the state of one sequence */
} cell;

typedef struct grid {
  rn_bench_decode_setup setup;
  rn_bench_counts positions, sequences;
  rn_bench_generator generator;
  rn_decoder *decoder;
  cell *cell; /* [cells] */
  int cells;
} grid;

static rn_status parse(rn_err *err, const rn_bench_options *options, grid *g) {
  const char *positions = options->positions != NULL ? options->positions : "1000";
  const char *sequences = options->sequences != NULL ? options->sequences : "1";
  RN_TRY(err, rn_bench_counts_parse(err, "--positions", positions, &g->positions));
  return rn_bench_counts_parse(err, "--sequences", sequences, &g->sequences);
}

/* Writes the keys and values of all sequences before they are read. Otherwise the reads would not
 * cause memory traffic, since all pages that were never written map to the same page of zeros. */
static rn_status write_states(rn_err *err, grid *g) {
  void *state = NULL;
  rn_status status = RN_OK;
  for (int slot = 0; status == RN_OK && slot < g->generator.slots; slot++) {
    rn_decoder_position_of(g->decoder, slot, rn_bench_counts_max(&g->positions));
    const size_t bytes = rn_decoder_saved_bytes(g->decoder, slot);
    if (slot == 0) RN_TRY(err, rn_alloc(err, "state", bytes, 1, &state));
    rn_decoder_save(g->decoder, slot, state);
    status = rn_decoder_load(err, g->decoder, slot, state, bytes);
  }
  free(state);
  return status;
}

static rn_status make(rn_err *err, grid *g) {
  rn_spec spec;
  const int slots = rn_bench_counts_max(&g->sequences);
  const rn_decoder_shape shape = {
      slots, (int64_t)rn_bench_counts_max(&g->positions) + RN_BENCH_GENERATOR_TOKENS,
      g->setup.bf16};
  RN_TRY(err, rn_spec_from_config(err, g->setup.config, 0, &spec));
  RN_TRY(err, rn_bench_generator_create(err, &spec, slots, &g->generator));
  RN_TRY(err, rn_bench_generator_decoder(err, &spec, shape, &g->generator, &g->decoder));
  const size_t cells = (size_t)g->positions.count * (size_t)g->sequences.count;
  RN_TRY(err, rn_alloc(err, "measurements", cells, sizeof *g->cell, &g->cell));
  for (int s = 0; s < g->sequences.count; s++) {
    for (int p = 0; p < g->positions.count; p++) {
      g->cell[g->cells++] =
          (cell){.sequences = g->sequences.value[s], .position = g->positions.value[p]};
    }
  }
  return write_states(err, g);
}

static void measure(grid *g) {
  rn_bench_generator_time_at(&g->generator, g->decoder, g->generator.slots, 0);
  for (int round = 0; round < g->setup.rounds; round++) {
    for (int i = 0; i < g->cells; i++) {
      cell *c = &g->cell[i];
      rn_decoder_position_of(g->decoder, 0, c->position);
      c->state_bytes = rn_decoder_saved_bytes(g->decoder, 0);
      c->step_s[round] =
          rn_bench_generator_time_at(&g->generator, g->decoder, c->sequences, c->position);
    }
  }
}

static void print_json(const grid *g) {
  printf("{\"precision\": \"%s\", \"threads\": %d, \"rounds\": %d, \"grid\": [",
         g->setup.bf16 ? "bf16" : "fp32", g->setup.threads, g->setup.rounds);
  for (int i = 0; i < g->cells; i++) {
    const cell *c = &g->cell[i];
    const double step_s = rn_median(c->step_s, g->setup.rounds);
    printf("%s{\"sequences\": %d, \"position\": %d, \"step_s\": %s, ", i > 0 ? ", " : "",
           c->sequences, c->position, RN_JSON(step_s));
    printf("\"tokens_per_s\": %s, \"state_bytes\": %zu}", RN_JSON(c->sequences / step_s),
           c->state_bytes);
  }
  printf("]}\n");
}

static void print_table(const grid *g) {
  printf("%d threads, %s weights; medians of %d samples of %d tokens each\n\n", g->setup.threads,
         g->setup.bf16 ? "bf16" : "fp32", g->setup.rounds, RN_BENCH_GENERATOR_TOKENS);
  printf("%9s %9s %10s %10s %10s\n", "sequences", "position", "ms", "tokens/s", "MiB state");
  for (int i = 0; i < g->cells; i++) {
    const cell *c = &g->cell[i];
    const double step_s = rn_median(c->step_s, g->setup.rounds);
    printf("%9d %9d %10.3f %10.1f %10.2f\n", c->sequences, c->position, 1e3 * step_s,
           c->sequences / step_s, (double)c->state_bytes / (1 << 20));
  }
}

rn_status rn_bench_decode_grid(rn_err *err, rn_world *world, const rn_bench_options *options,
                               rn_bench_decode_setup setup) {
  grid g = {.setup = setup};
  rn_status status = parse(err, options, &g);
  if (status == RN_OK) status = rn_agree(err, world, make(err, &g));
  if (status == RN_OK) measure(&g);
  if (status == RN_OK && rn_world_rank(world) == 0) (options->json ? print_json : print_table)(&g);
  rn_decoder_destroy(&g.decoder);
  rn_bench_generator_destroy(&g.generator);
  free(g.cell);
  return status;
}
