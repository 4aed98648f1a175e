/**
 * Lists, for one layout, the values that rules chose for keys left at 0 or auto. The list is only
 * reported.
 */
#ifndef RN_TRAINER_PLAN_DECISIONS_H
#define RN_TRAINER_PLAN_DECISIONS_H

#include "trainer/config/effective.h"
#include "trainer/plan/plan.h"

enum { RN_DECISIONS_MAX = 20, RN_DECISION_BYTES = 64 };

typedef struct rn_decision {
  const char *key; /* for example "parallel.data" */
  char value[RN_DECISION_BYTES];
} rn_decision;

typedef struct rn_decisions {
  rn_decision item[RN_DECISIONS_MAX];
  int count;
} rn_decisions;

/** Lists all decisions for `config` and `plan`. spec->chunk must be the chunk length in use. */
void rn_decisions_make(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                       rn_decisions *out);

/** Adds a decision that was made elsewhere. Replaces an earlier decision for the same key. */
void rn_decisions_set(rn_decisions *decisions, const char *key, const char *value);

/** Returns the value of a key, or NULL if no rule decided it. */
const char *rn_decisions_find(const rn_decisions *decisions, const char *key);

/** Inputs of rn_config_notes_describe. */
typedef struct rn_config_notes {
  const rn_effective *effective;
  const rn_options_locations *locations; /* NULL: unknown */
  const rn_decisions *decisions;
} rn_config_notes;

/**
 * Writes the origin of a key's value and the decision for the key, for example "default; by rule:
 * 4". `self` points to an rn_config_notes; the function has the type rn_options_note.
 */
void rn_config_notes_describe(const void *self, const char *key, char *text, size_t bytes);

#endif
