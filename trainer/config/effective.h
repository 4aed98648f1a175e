/**
 * The effective configuration: the value of every key after defaults, preset, file, command line
 * and data are combined, and the origin of each value.
 *
 * The effective configuration is resolved once and then constant; layout, plan, run, resume and
 * config.yaml all use it. Some keys have the value 0 or auto, for which a rule computes a value
 * from the layout. They keep 0 or auto here, so that the configuration is valid for any number of
 * ranks; trainer/plan/decisions.h reports the values that the rules choose.
 */
#ifndef RN_TRAINER_CONFIG_EFFECTIVE_H
#define RN_TRAINER_CONFIG_EFFECTIVE_H

#include "model/spec/spec.h"
#include "proto/options/options.h"

typedef enum {
  RN_ORIGIN_DEFAULT,
  RN_ORIGIN_PRESET,
  RN_ORIGIN_GIVEN, /* given in the file or on the command line */
  RN_ORIGIN_DATA,
  RN_ORIGIN_RULE /* a preset's value that was changed to be compatible with other keys */
} rn_origin;

/**
 * The effective configuration with the origin of each value. Must be zero-initialised;
 * rn_effective_destroy frees it.
 */
typedef struct rn_effective {
  const Retnet__Config *config;          /* every key has a value */
  rn_origin origin[RN_OPTIONS_MAX_KEYS]; /* origin of each key, in the order of the schema */
  rn_spec spec;                          /* model spec that the model section describes */
} rn_effective;

/**
 * Creates the effective configuration from `given`. `data_vocab` is the vocabulary size of the
 * data; 0: no data.
 * Errors: RN_ERR_MEMORY, an unknown preset, those of rn_spec_from_config.
 */
rn_status rn_effective_create(rn_err *err, const Retnet__Config *given, int data_vocab,
                              rn_effective *out);
void rn_effective_destroy(rn_effective *effective);

/**
 * Writes the origin of a key's value into text [bytes]: "default", "run.yaml:3", "-s". `locations`
 * are the source positions recorded when loading; if NULL, the origin is written as "given".
 */
void rn_effective_describe(const rn_effective *effective, const rn_options_locations *locations,
                           const char *key, char *text, size_t bytes);

#endif
