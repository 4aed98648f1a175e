/** Values that rules chose for keys left at 0 or auto, for one layout. They are only reported. */
#ifndef RN_TRAINER_PLAN_DECISIONS_H
#define RN_TRAINER_PLAN_DECISIONS_H

#include "trainer/config/effective.h"
#include "trainer/plan/plan.h"

enum { RN_DECISIONS_MAX = 20, RN_DECISION_BYTES = 64 };

typedef struct rn_decision {
  const char *key; /* "parallel.data" */
  char value[RN_DECISION_BYTES];
} rn_decision;

typedef struct rn_decisions {
  rn_decision item[RN_DECISIONS_MAX];
  int count;
} rn_decisions;

/** Lists all decisions for `config` and `plan`; spec->chunk must be the chunk in use. */
void rn_decisions_make(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                       rn_decisions *out);

/** Adds a decision made elsewhere, or replaces the one for the same key. */
void rn_decisions_set(rn_decisions *decisions, const char *key, const char *value);

/** The value, or NULL if no rule decided the key. */
const char *rn_decisions_find(const rn_decisions *decisions, const char *key);

/** The inputs of rn_config_notes_describe. */
typedef struct rn_config_notes {
  const rn_effective *effective;
  const rn_options_locations *locations; /* NULL: not known */
  const rn_decisions *decisions;
} rn_config_notes;

/** Writes a key's origin and decision, such as "default; by rule: 4". `self` is an rn_config_notes;
 * the function is an rn_options_note. */
void rn_config_notes_describe(const void *self, const char *key, char *text, size_t bytes);

#endif
