/**
 * The automatic selections of a run that affect the rounding of results: scan algorithm, chunk
 * length, GEMM backend and kernel set. The code calls them choices; each is made by a rule from
 * configuration, layout and machine.
 *
 * Every checkpoint stores the choices of its run. A resumed run keeps a stored choice if the key
 * for it (for example parallel.scan) and the layout are unchanged (in reproducible mode the layout
 * may change), even if the rule would choose differently now or on this CPU. A key that is set
 * explicitly (not 0 or auto) always takes precedence.
 */
#ifndef RN_TRAINER_RUN_CHOICES_H
#define RN_TRAINER_RUN_CHOICES_H

#include "proto/schema/checkpoint.pb-c.h"
#include "trainer/plan/plan.h"

enum { RN_CHOICE_BYTES = 32 };

/**
 * What a run used when it wrote a checkpoint: scan algorithm, chunk length, GEMM backend, kernel
 * set and parallel layout. Also the values of the configuration keys from which the first three
 * were chosen, for example `auto`. Contains no pointers, so it can be broadcast.
 */
typedef struct rn_choices {
  bool stored; /* true if a checkpoint exists and contains choices */
  char scan[RN_CHOICE_BYTES], products[RN_CHOICE_BYTES], kernels[RN_CHOICE_BYTES];
  int chunk;
  rn_layout layout; /* layout of the run that wrote the checkpoint */
  Retnet__Scan scan_key;
  Retnet__Products products_key;
  Retnet__Precision precision_key;
  int chunk_key;
} rn_choices;

/** Reads the choices from a checkpoint's manifest. */
void rn_choices_read(const Retnet__Manifest *manifest, rn_choices *out);

/** The effective config and the layout of the resumed run, which are compared with the stored
 * ones. */
typedef struct rn_choices_now {
  const Retnet__Config *config;
  const rn_layout *layout;
} rn_choices_now;

/**
 * Applies the stored choices that are still valid. On entry *chunk is the value that the rule
 * chose; on return it is the value to use. Selects the kernel set and the GEMM backend of this
 * process. If a rank lacks one of them, all ranks use the one that the rule chose, and a warning
 * names the rank. Prints every choice that differs from the rule or from the checkpoint.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_choices_apply(rn_err *err, rn_world *world, const rn_choices *choices,
                           rn_choices_now now, int *chunk);

/**
 * Applies the stored scan algorithm if it is still valid. On entry *scan is the value of
 * parallel.scan. `rule` names the algorithm that the rule would choose.
 */
void rn_choices_scan(const rn_choices *choices, rn_choices_now now, const char *rule,
                     Retnet__Scan *scan);

#endif
