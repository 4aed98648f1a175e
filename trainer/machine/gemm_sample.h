/**
 * Times the GEMM backends at start-up, to find out whether the backend that model.products auto
 * selects is slow on this machine.
 *
 * The selection itself never depends on a measurement, since backends round differently and a run
 * would not be repeatable. Instead, a warning tells the user which key to set. Only fp32 products
 * are timed.
 */
#ifndef RN_TRAINER_MACHINE_GEMM_SAMPLE_H
#define RN_TRAINER_MACHINE_GEMM_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/kernel/gemm.h"

enum { RN_GEMM_SAMPLE_KINDS = 3, RN_GEMM_SAMPLE_BACKENDS = 4 };

/**
 * Seconds of one product of each kind (RN_GEMM_NN, RN_GEMM_NT, RN_GEMM_TN); each is the minimum of
 * a few repetitions.
 */
typedef struct rn_gemm_sample {
  const char *chosen; /* the backend in use */
  double chosen_s[RN_GEMM_SAMPLE_KINDS];
  int others; /* number of other backends; the backend in use may be composed of them */
  const char *name[RN_GEMM_SAMPLE_BACKENDS];
  /* times of the other backends; INFINITY for a backend that calls the same function as the chosen
   * one */
  double other_s[RN_GEMM_SAMPLE_BACKENDS][RN_GEMM_SAMPLE_KINDS];
} rn_gemm_sample;

/**
 * Takes the sample on the calling thread in about 0.1 s, with a few MB of temporary memory.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_gemm_sample_take(rn_err *err, rn_gemm_sample *out);

/**
 * Writes a warning if, for some kind of product, another backend is more than 1.15 times as fast as
 * the chosen one. The warning names the kind of product with the largest speed ratio, that ratio,
 * and the key to set. Returns false if there is nothing to warn about.
 */
bool rn_gemm_sample_warning(const rn_gemm_sample *sample, char *text, size_t bytes);

/**
 * Writes the fastest backend of each kind, for example "NN openblas, NT onednn, TN openblas"; it
 * may be the chosen one.
 */
void rn_gemm_sample_best(const rn_gemm_sample *sample, char *text, size_t bytes);

#endif
