/**
 * What rules decided for a run and bits depend on: scan, chunk, products, kernels.
 *
 * They are stored in every checkpoint. A resume keeps them as long as the layout (in reproducible
 * mode any layout will do) and the keys behind them are unchanged, whatever rule or CPU would say
 * now; a key that is not 0 or auto wins in any case.
 */
#ifndef RN_TRAINER_RUN_CHOICES_H
#define RN_TRAINER_RUN_CHOICES_H

#include "proto/schema/checkpoint.pb-c.h"
#include "trainer/plan/plan.h"

enum { RN_CHOICE_BYTES = 32 };

/** What a checkpoint says, in a form that ranks can send: it was made for these keys and layout. */
typedef struct rn_choices {
  bool stored; /* there is a checkpoint, and it has choices */
  char scan[RN_CHOICE_BYTES], products[RN_CHOICE_BYTES], kernels[RN_CHOICE_BYTES];
  int chunk;
  rn_layout layout; /* leaf: run.leaf's value */
  Retnet__Scan scan_key;
  Retnet__Products products_key;
  Retnet__Precision precision_key;
  int chunk_key;
} rn_choices;

/** Those of a checkpoint. */
void rn_choices_read(const Retnet__Manifest *manifest, rn_choices *out);

/** What a choice is held against: the effective config, and what rules have come to for it. */
typedef struct rn_choices_now {
  const Retnet__Config *config;
  const rn_layout *layout;
} rn_choices_now;

/**
 * Takes over the chunk where it holds: *chunk is the rule's before. Kernels and products are chosen
 * for this process. What differs from the rule, or from the checkpoint, is printed.
 *
 * Collective: over the world; what one rank's CPU lacks is told. Errors: RN_ERR_MPI.
 */
rn_status rn_choices_apply(rn_err *err, rn_world *world, const rn_choices *choices,
                           rn_choices_now now, int *chunk);

/** Likewise the scan over ranks: *scan is parallel.scan before, `rule` what it would come to. */
void rn_choices_scan(const rn_choices *choices, rn_choices_now now, const char *rule,
                     Retnet__Scan *scan);

#endif
