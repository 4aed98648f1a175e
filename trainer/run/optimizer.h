/**
 * The optimizer of this rank's shards: sums gradients over the ranks, computes the gradient norm,
 * and updates the weights by AdamW. Owns the moments and the summed gradients (ZeRO-1).
 */
#ifndef RN_TRAINER_RUN_OPTIMIZER_H
#define RN_TRAINER_RUN_OPTIMIZER_H

#include "trainer/optimizer/adamw.h"
#include "trainer/optimizer/distributed_optimizer.h"
#include "trainer/optimizer/lr.h"
#include "trainer/run/local_model.h"
#include "trainer/run/norm_blocks.h"

typedef struct rn_optimizer {
  rn_adamw adamw;
  rn_lr_schedule schedule;
  double clip;     /* maximum norm of the gradient; 0: no limit */
  bool decay_all;  /* weight decay also applies to vectors */
  rn_stage *stage; /* stage of the model; not owned */
  bool is_exact;   /* true in reproducible mode */
  bool single_replica;
  const rn_shard_table *shards;         /* shards of the weights; not owned */
  rn_distributed_optimizer distributed; /* reduce-scatter and all-gather over the replicas */
  int64_t tied_offset, tied_count;      /* tied embedding, if shared by two stages; count 0: none */
  float *gradient; /* [own] sums over ranks. With a single replica outside reproducible mode, this
                      is the stage's gradient, mapped until rn_optimizer_release_gradient */
  int64_t *exact;  /* [own] exact sums in reproducible mode; NULL with a single replica */
  float *exp_avg, *exp_avg_sq; /* [own] */
  rn_norm_blocks blocks;
  double *block_squares; /* [blocks.total] sum of squares of each block of `gradient` */
} rn_optimizer;

/**
 * Creates the optimizer of `model` with zero moments. From then on the model's pipeline reports
 * gradients to the optimizer.
 *
 * Collective: over the world.
 * Ownership:  settings, parallel and model must outlive the optimizer, which must not move.
 *             rn_optimizer_destroy must be called even after a failure.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_optimizer_create(rn_err *err, const rn_run_settings *settings,
                              const rn_parallel_context *parallel, rn_local_model *model,
                              rn_optimizer *out);
/**
 * Destroys the optimizer; must be called before the model is destroyed. Collective: over the
 * replicas.
 */
void rn_optimizer_destroy(rn_optimizer *optimizer);

/**
 * Sets optimizer->gradient to the gradient of the batch for this rank's shards, summed over all
 * ranks. Completes the reduce-scatter that started during the last backward pass of the step. `p2p`
 * connects the stages that share a tied embedding (NULL: single stage).
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_optimizer_sum_gradients(rn_err *err, rn_optimizer *optimizer, rn_pipeline_p2p *p2p);

/**
 * Repeats the reduce-scatter of rn_optimizer_sum_gradients: sums the same gradients of all replicas
 * once more into the same memory. There must be more than one replica.
 *
 * Collective: over the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_optimizer_repeat_exchange(rn_err *err, rn_optimizer *optimizer);

/**
 * Releases optimizer->gradient, which is undefined afterwards, and waits until no other rank reads
 * the gradient of this rank's stage; must be called before the next step computes gradients.
 * Collective: over the replicas. Errors: those of rn_stage_unmap.
 */
rn_status rn_optimizer_release_gradient(rn_err *err, rn_optimizer *optimizer);

/**
 * Sets block_squares to the sums of squares of this rank's gradient blocks, and to 0 for all other
 * blocks.
 */
void rn_optimizer_square_blocks(rn_optimizer *optimizer);

/** Returns the learning rate of step `step` (from 1). */
double rn_optimizer_lr(const rn_optimizer *optimizer, int64_t step);

/**
 * Performs update number `update` (from 1) of this rank's shards of `params`. `grad_norm` is the
 * gradient norm before clipping.
 */
void rn_optimizer_update(rn_optimizer *optimizer, double lr, double grad_norm, int64_t update,
                         float *params);

/**
 * Returns the number of bytes of gradients that this rank has sent since the optimizer was created.
 */
int64_t rn_optimizer_bytes_sent(const rn_optimizer *optimizer);

#endif
