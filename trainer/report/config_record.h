/** Reads the configuration of a run, with the origin of each value, from the file that the run
 * wrote. */
#ifndef RN_TRAINER_REPORT_CONFIG_RECORD_H
#define RN_TRAINER_REPORT_CONFIG_RECORD_H

#include <stddef.h>

#include "proto/base/status.h"

/** One key of the configuration. */
typedef struct rn_config_entry {
  char *key;    /* "section.key" */
  char *value;  /* as written in YAML */
  char *origin; /* the comment after the value; "" if there is none */
} rn_config_entry;

/** Zero-initialise. */
typedef struct rn_config_record {
  rn_config_entry *entry; /* [count] */
  size_t count, capacity;
  char *fault; /* why the configuration cannot be shown; NULL if it can */
} rn_config_record;

/**
 * Reads RUN/effective.yaml or RUN/config.yaml, whichever retnet-train wrote last.
 *
 * Errors: RN_ERR_MEMORY; any other fault is described in `fault`.
 */
rn_status rn_config_record_read(rn_err *err, const char *run_dir, rn_config_record *out);

/** Like rn_config_record_read, but reads `text`; for tests. Messages call the file `name`. */
rn_status rn_config_record_parse(rn_err *err, const char *name, const char *text, size_t bytes,
                                 rn_config_record *out);

/** Returns the entry of a key, or NULL if there is none. */
const rn_config_entry *rn_config_record_find(const rn_config_record *config, const char *key);

/** Frees the entries; accepts a zeroed record. */
void rn_config_record_free(rn_config_record *config);

#endif
