/**
 * Allocates the gradient of this rank's stage in memory that the other ranks of the node read in
 * place (parallel.share_gradients).
 */
#ifndef RN_TRAINER_RUN_GRADIENT_MEMORY_H
#define RN_TRAINER_RUN_GRADIENT_MEMORY_H

#include "comm/optimizer/peer_memory.h"
#include "model/stage/stage.h"
#include "trainer/run/parallel_context.h"

typedef struct rn_gradient_memory {
  rn_node *node;         /* ranks that share memory; NULL: none */
  rn_peer_memory *peers; /* the shared gradients; NULL: not shared, sent in messages */
  int64_t shared_bytes;  /* bytes of this rank's gradient if other ranks map it, else 0 */
  int sharing_ranks;     /* maximum number of ranks that share memory, over nodes and stages; 1: no
                            sharing */
} rn_gradient_memory;

/**
 * Allocates memory for the gradient, and lets `stage` adopt it (rn_stage_adopt_gradient). Must be
 * called before the stage creates its gradient of `kind`. Does nothing if no node has several ranks
 * of one stage. With parallel.share_gradients auto, a warning gives the reason if memory cannot be
 * shared.
 *
 * The environment variable RETNET_NODE_RANKS splits a host into several nodes for tests
 * (rn_weights_create).
 *
 * Collective: over the world.
 * Ownership:  the stage must be destroyed before the memory. rn_gradient_memory_destroy must be
 *             called even after a failure.
 * Errors:     RN_ERR_USAGE naming parallel.share_gradients if it is on and sharing is impossible,
 * or naming RETNET_NODE_RANKS; RN_ERR_MEMORY; agreed; RN_ERR_MPI.
 */
rn_status rn_gradient_memory_create(rn_err *err, const Retnet__Parallel *config,
                                    const rn_parallel_context *parallel, rn_stage *stage,
                                    rn_gradient_kind kind, rn_gradient_memory *out);
/** Frees the memory. Collective: over the ranks of the node, whose communicator is freed. Errors:
 * none.
 */
void rn_gradient_memory_destroy(rn_gradient_memory *memory);

#endif
