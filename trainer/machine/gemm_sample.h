/**
 * A start-up sample of the GEMM backends: notices where the AUTO choice is wrong for this machine.
 *
 * The choice itself never depends on a measurement, since another backend gives other bits; so the
 * user is told which key to set.
 */
#ifndef RN_TRAINER_MACHINE_GEMM_SAMPLE_H
#define RN_TRAINER_MACHINE_GEMM_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/kernel/gemm.h"

enum { RN_GEMM_SAMPLE_KINDS = 3, RN_GEMM_SAMPLE_BACKENDS = 4 };

/** Seconds of one product of each kind (RN_GEMM_NN, RN_GEMM_NT, RN_GEMM_TN), minima of a few. */
typedef struct rn_gemm_sample {
  double chosen_s[RN_GEMM_SAMPLE_KINDS];
  int backends;
  const char *name[RN_GEMM_SAMPLE_BACKENDS];
  double other_s[RN_GEMM_SAMPLE_BACKENDS][RN_GEMM_SAMPLE_KINDS];
} rn_gemm_sample;

/**
 * Takes the sample on the calling thread, in about 0.1 s; allocates some MB meanwhile.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_gemm_sample_take(rn_err *err, rn_gemm_sample *out);

/**
 * Writes a warning about the kind whose backend loses most, if another one needs less than 1/1.15
 * of its time: which kind, how much, and what to set. Returns false if there is none.
 */
bool rn_gemm_sample_warning(const rn_gemm_sample *sample, char *text, size_t bytes);

/** "NN openblas, NT onednn, TN openblas": the fastest backend of each kind. */
void rn_gemm_sample_best(const rn_gemm_sample *sample, char *text, size_t bytes);

#endif
