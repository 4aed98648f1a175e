/**
 * Estimates the memory that a rank will use, by category, before anything is allocated.
 *
 * The sizes come from functions that are defined next to the allocating ones.
 */
#ifndef RN_TRAINER_PLAN_MEMORY_H
#define RN_TRAINER_PLAN_MEMORY_H

#include "model/spec/spec.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/layout/layout.h"
#include "trainer/machine/machine.h"

/** Bytes by category. */
typedef struct rn_memory {
  size_t weights, gradients; /* of the stage; weights include the bf16 shadow */
  size_t optimizer;          /* of this rank's shards: sums over ranks, and both moments */
  size_t activations;        /* of units between forward and backward */
  size_t work;               /* workspace of the current unit, and of evaluation */
  size_t states;             /* of scans, and states kept between steps */
  size_t buffers;            /* of data, gradient reduction, checkpoints */
  size_t program;            /* process and libraries before a run is created */
} rn_memory;

/** Bytes of all items. */
size_t rn_memory_total(const rn_memory *memory);

/** Memory and parameters of all stages of a layout. */
typedef struct rn_memory_plan {
  int stages;
  int *first;          /* [stages + 1] first layer of a stage */
  int64_t *parameters; /* [stages] */
  int *pool;           /* [stages] activation slots */
  rn_memory *memory;   /* [stages, 3]: first rank of the sequence axis, inner ranks, last rank */
  size_t *weights;     /* [stages] bytes of one copy, bf16 shadow included */
  bool shared;         /* ranks of one stage on one node share one copy of the weights */
} rn_memory_plan;

/**
 * Creates the plan for ranks with this process's number of threads; machine.ranks consecutive ranks
 * are on one node. Errors: RN_ERR_USAGE of the layer split; RN_ERR_MEMORY.
 */
rn_status rn_memory_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                const rn_layout *layout, rn_machine machine, rn_memory_plan *out);
void rn_memory_plan_destroy(rn_memory_plan *plan);

/**
 * The memory of world rank `rank`, as the operating system counts it: shared weights that the rank
 * accesses are included in full.
 */
const rn_memory *rn_memory_of_rank(const rn_memory_plan *plan, const rn_layout *layout, int rank);

/** The largest memory of a rank, the stage of such a rank, and the largest memory of a node of
 * `node_ranks` consecutive ranks. A node counts shared weights once. */
const rn_memory *rn_memory_largest_rank(const rn_memory_plan *plan);
int rn_memory_largest_stage(const rn_memory_plan *plan);
size_t rn_memory_largest_node(const rn_memory_plan *plan, const rn_layout *layout, int node_ranks);

#endif
