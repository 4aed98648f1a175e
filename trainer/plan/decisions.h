/** What rules have come to for the keys that are left to them, at one layout: told, never read. */
#ifndef RN_TRAINER_PLAN_DECISIONS_H
#define RN_TRAINER_PLAN_DECISIONS_H

#include "trainer/config/effective.h"
#include "trainer/plan/plan.h"

enum { RN_DECISIONS_MOST = 20, RN_DECISION_BYTES = 64 };

typedef struct rn_decision {
  const char *key; /* "parallel.data" */
  char value[RN_DECISION_BYTES];
} rn_decision;

typedef struct rn_decisions {
  rn_decision item[RN_DECISIONS_MOST];
  int count;
} rn_decisions;

/** All that follow from config and plan; `spec` holds the chunk in use. */
void rn_decisions_make(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                       rn_decisions *out);

/** A decision made elsewhere, in place of one that is there. */
void rn_decisions_set(rn_decisions *decisions, const char *key, const char *value);

/** The value, or NULL where no rule has decided. */
const char *rn_decisions_find(const rn_decisions *decisions, const char *key);

/** All that is to be told of keys. */
typedef struct rn_config_notes {
  const rn_effective *effective;
  const rn_options_places *places; /* NULL: not known */
  const rn_decisions *decisions;
} rn_config_notes;

/** "default; by rule: 4": of `self`, an rn_config_notes. An rn_options_note. */
void rn_config_notes_describe(const void *self, const char *key, char *text, size_t bytes);

#endif
