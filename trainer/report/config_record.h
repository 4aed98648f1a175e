/** The configuration of a run with the origin of each value, from the file that the run wrote. */
#ifndef RN_TRAINER_REPORT_CONFIG_RECORD_H
#define RN_TRAINER_REPORT_CONFIG_RECORD_H

#include <stddef.h>

#include "proto/base/status.h"

/** One key. */
typedef struct rn_config_entry {
  char *key;    /* "section.key" */
  char *value;  /* as written in YAML */
  char *origin; /* the comment after it; "" if none */
} rn_config_entry;

/** Zero-initialise it. */
typedef struct rn_config_record {
  rn_config_entry *entry; /* [count] */
  size_t count;
  char *fault; /* why the configuration cannot be shown; NULL if it can */
} rn_config_record;

/**
 * Reads RUN/effective.yaml or RUN/config.yaml, whichever retnet-train wrote last.
 *
 * Errors: RN_ERR_MEMORY; any other fault is described in `fault`.
 */
rn_status rn_config_record_read(rn_err *err, const char *run_dir, rn_config_record *out);

/** The same from text, for tests; `name` is that of the file in messages. */
rn_status rn_config_record_parse(rn_err *err, const char *name, const char *text, size_t bytes,
                                 rn_config_record *out);

/** The entry of a key; NULL if there is none. */
const rn_config_entry *rn_config_record_find(const rn_config_record *config, const char *key);

/** Accepts a zeroed record. */
void rn_config_record_free(rn_config_record *config);

#endif
