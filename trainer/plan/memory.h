/**
 * Estimates the memory that a rank will use, by category, before anything is allocated.
 *
 * Each size is computed by the module that allocates the memory.
 */
#ifndef RN_TRAINER_PLAN_MEMORY_H
#define RN_TRAINER_PLAN_MEMORY_H

#include "model/spec/spec.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/layout/layout.h"
#include "trainer/machine/machine.h"

/** Memory of one rank by category, in bytes. */
typedef struct rn_memory {
  size_t weights, gradients; /* weights (including the bf16 shadow) and gradients of the stage */
  size_t optimizer;          /* gradient sums and both moments of this rank's shards */
  size_t activations;        /* activations of units between forward and backward */
  size_t work;               /* workspace of the current unit and of evaluation */
  size_t states;  /* scan buffers, exchanged keys and values, and states kept between steps */
  size_t buffers; /* buffers for data loading, gradient reduction and checkpoints */
  size_t program; /* process and libraries before a run is created */
} rn_memory;

/** Returns the sum of all categories, in bytes. */
size_t rn_memory_total(const rn_memory *memory);

/** Memory and number of parameters of all stages of a layout. */
typedef struct rn_memory_plan {
  int stages;
  int *first;          /* [stages + 1] first layer of each stage */
  int64_t *parameters; /* [stages] */
  int *pool;           /* [stages] number of units whose activations are in memory at a time */
  rn_memory *memory;   /* [stages, 3] first rank of the sequence axis, inner ranks, last rank */
  size_t *weights;     /* [stages] bytes of one copy, including the bf16 shadow */
  bool shared; /* true if the ranks of one stage on one node share one copy of the weights */
} rn_memory_plan;

/**
 * Creates the plan for ranks with machine.max_threads threads each. Each node has machine.ranks
 * consecutive ranks. Errors: those of rn_layer_split; RN_ERR_MEMORY.
 */
rn_status rn_memory_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                const rn_layout *layout, rn_machine machine, rn_memory_plan *out);
void rn_memory_plan_destroy(rn_memory_plan *plan);

/**
 * Returns the memory of world rank `rank` as the operating system counts it: includes all shared
 * weights that the rank accesses.
 */
const rn_memory *rn_memory_of_rank(const rn_memory_plan *plan, const rn_layout *layout, int rank);

/** Returns the memory of the rank that uses the most. */
const rn_memory *rn_memory_largest_rank(const rn_memory_plan *plan);

/** Returns the stage of the rank that uses the most memory. */
int rn_memory_largest_stage(const rn_memory_plan *plan);

/**
 * Returns the memory use, in bytes, of the node that uses the most memory, for nodes of
 * `node_ranks` consecutive ranks. Shared weights count once per node.
 */
size_t rn_memory_largest_node(const rn_memory_plan *plan, const rn_layout *layout, int node_ranks);

#endif
