/** A model with initial weights that generates tokens, sampled as in retnet-generate. */
#ifndef RN_TRAINER_BENCH_BENCH_GENERATOR_H
#define RN_TRAINER_BENCH_BENCH_GENERATOR_H

#include <stdint.h>

#include "model/decode/decode.h"
#include "model/spec/spec.h"

/** Number of decoding steps in one timing sample. */
enum { RN_BENCH_GENERATOR_TOKENS = 16 };

/** Zero-initialise. One generator can be used with any number of decoders of its model. */
typedef struct rn_bench_generator {
  int vocab, slots;
  float *params, *logits; /* [total], [slots, N] */
  int32_t *order;         /* [N] */
  int32_t *token;         /* [slots] */
  int *slot;              /* [slots] 0, 1, 2, ... */
  uint64_t draws;
} rn_bench_generator;

/** Creates the weights, and memory for steps of `slots` sequences. Errors: RN_ERR_MEMORY. */
rn_status rn_bench_generator_create(rn_err *err, const rn_spec *spec, int slots,
                                    rn_bench_generator *out);
void rn_bench_generator_destroy(rn_bench_generator *generator);

/** Creates a decoder of the model. Errors: RN_ERR_MEMORY. */
rn_status rn_bench_generator_decoder(rn_err *err, const rn_spec *spec, rn_decoder_shape shape,
                                     rn_bench_generator *generator, rn_decoder **out);

/** Decodes tokens in the first `count` slots of the decoder (one sequence each) and returns the
 * seconds per step: the median of RN_BENCH_GENERATOR_TOKENS consecutive steps, since other
 * processes may interrupt a few of them. */
double rn_bench_generator_time(rn_bench_generator *generator, rn_decoder *decoder, int count);

/** Like rn_bench_generator_time, but first sets the position of these slots. */
double rn_bench_generator_time_at(rn_bench_generator *generator, rn_decoder *decoder, int count,
                                  int64_t position);

#endif
