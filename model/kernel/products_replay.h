/**
 * Recorded products made once more, without all that lay between them.
 *
 * They keep their provider, shapes and number of threads, and memory that lies as theirs did, as
 * large (up to 1 GiB, which is far beyond any cache). Threads take them in the recorded order and
 * wait for each other at the end only. Calls that one thread made one after the other stay
 * together, some tens of MFLOP at a time: they hand intermediate results to each other in its
 * cache.
 */
#ifndef RN_MODEL_KERNEL_PRODUCTS_REPLAY_H
#define RN_MODEL_KERNEL_PRODUCTS_REPLAY_H

#include "model/kernel/products_record.h"
#include "proto/arena.h"

typedef struct rn_products_replay {
  const rn_products *table;
  rn_product *product; /* by groups */
  int64_t groups;
  int64_t *first; /* [groups + 1] of their products */
  rn_arena memory;
} rn_products_replay;

/** A replay of `record`, which it does not need afterwards. Errors: RN_ERR_MEMORY. */
rn_status rn_products_replay_create(rn_err *err, const rn_products_record *record,
                                    rn_products_replay *out);
void rn_products_replay_destroy(rn_products_replay *replay);

/** Makes all products, on memory of the replay's own. */
void rn_products_replay_run(const rn_products_replay *replay);

#endif
