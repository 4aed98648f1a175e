#include "trainer/bench/bench_generator.h"

#include <stdlib.h>

#include "model/spec/param.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/quantile.h"
#include "trainer/generate/sample.h"

static rn_status make_weights(rn_err *err, const rn_spec *spec, rn_bench_generator *g) {
  rn_param_table *table = NULL;
  RN_TRY(err, rn_param_table_create(err, spec, 0, spec->layers, &table));
  const rn_status status =
      rn_alloc(err, "weights", (size_t)table->total, sizeof *g->params, &g->params);
  if (status == RN_OK) rn_param_init_values(table, 1, 0, table->total, g->params);
  rn_param_table_destroy(&table);
  return status;
}

rn_status rn_bench_generator_create(rn_err *err, const rn_spec *spec, int slots,
                                    rn_bench_generator *g) {
  const size_t count = (size_t)slots, vocab = (size_t)spec->vocab;
  g->vocab = spec->vocab;
  g->slots = slots;
  RN_TRY(err, make_weights(err, spec, g));
  RN_TRY(err, rn_alloc(err, "logits", count * vocab, sizeof *g->logits, &g->logits));
  RN_TRY(err, rn_alloc(err, "order", vocab, sizeof *g->order, &g->order));
  RN_TRY(err, rn_alloc(err, "tokens", count, sizeof *g->token, &g->token));
  RN_TRY(err, rn_alloc(err, "slots", count, sizeof *g->slot, &g->slot));
  for (int i = 0; i < slots; i++) g->slot[i] = i;
  return RN_OK;
}

void rn_bench_generator_destroy(rn_bench_generator *g) {
  free(g->params);
  free(g->logits);
  free(g->order);
  free(g->token);
  free(g->slot);
  *g = (rn_bench_generator){0};
}

rn_status rn_bench_generator_decoder(rn_err *err, const rn_spec *spec, rn_decoder_shape shape,
                                     rn_bench_generator *g, rn_decoder **out) {
  RN_TRY(err, rn_decoder_create(err, spec, shape, out));
  if (shape.bf16) rn_decoder_cast_weights(*out, g->params);
  return RN_OK;
}

/* Decodes one more token in each of the first `count` slots of the decoder (one sequence each). */
static void step(rn_bench_generator *g, rn_decoder *decoder, int count) {
  static const rn_sampling sampling = {.temperature = 1, .top_p = 1};
  rn_decoder_step(decoder, g->params, count, g->slot, g->token, g->logits);
  for (int i = 0; i < count; i++) {
    const float *logits = g->logits + (int64_t)i * g->vocab;
    g->token[i] =
        rn_sample(sampling, g->vocab, logits, g->order, rn_sample_quantile(1, g->draws++));
  }
}

double rn_bench_generator_time(rn_bench_generator *g, rn_decoder *decoder, int count) {
  double step_s[RN_BENCH_GENERATOR_TOKENS];
  for (int i = 0; i < RN_BENCH_GENERATOR_TOKENS; i++) {
    const double begin_s = rn_clock_s();
    step(g, decoder, count);
    step_s[i] = rn_clock_s() - begin_s;
  }
  return rn_median(step_s, RN_BENCH_GENERATOR_TOKENS);
}

double rn_bench_generator_time_at(rn_bench_generator *g, rn_decoder *decoder, int count,
                                  int64_t position) {
  for (int i = 0; i < count; i++) rn_decoder_position_of(decoder, i, position);
  return rn_bench_generator_time(g, decoder, count);
}
