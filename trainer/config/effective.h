/**
 * The effective configuration: every key's value once defaults, preset, file, command line and data
 * are put together, and where each value came from.
 *
 * It is resolved once and never changed; layout, plan, run, resume and config.yaml read the same
 * one. Keys that a rule decides for the layout at hand (0 or auto) keep that value, so that the
 * configuration serves any number of ranks; what the rule came to is told beside it, by
 * trainer/plan/decisions.h.
 */
#ifndef RN_TRAINER_CONFIG_EFFECTIVE_H
#define RN_TRAINER_CONFIG_EFFECTIVE_H

#include "model/spec/spec.h"
#include "proto/options/options.h"

typedef enum {
  RN_ORIGIN_DEFAULT,
  RN_ORIGIN_PRESET,
  RN_ORIGIN_GIVEN, /* by file or command line */
  RN_ORIGIN_DATA,
  RN_ORIGIN_RULE /* what else was there does not fit together */
} rn_origin;

/** Zero-initialise it; rn_effective_destroy. */
typedef struct rn_effective {
  const Retnet__Config *config;           /* every number, word and switch counts as given */
  rn_origin origin[RN_OPTIONS_MOST_KEYS]; /* in the schema's order */
  rn_spec spec;                           /* the model section's */
} rn_effective;

/**
 * Resolves what was given. `data_vocab` is the data's vocabulary; 0: there is no data.
 * Errors: those of rn_spec_from_config.
 */
rn_status rn_effective_create(rn_err *err, const Retnet__Config *given, int data_vocab,
                              rn_effective *out);
void rn_effective_destroy(rn_effective *effective);

/**
 * Where a key's value came from in words, "default", "run.yaml:3", "-s": into text [bytes].
 * `places` as loading has found them; NULL: by file or command line.
 */
void rn_effective_describe(const rn_effective *effective, const rn_options_places *places,
                           const char *key, char *text, size_t bytes);

#endif
