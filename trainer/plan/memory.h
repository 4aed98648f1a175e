/**
 * Memory that a rank will hold, part by part, known before anything is taken.
 *
 * Sizes come from the functions that stand beside the allocators.
 */
#ifndef RN_TRAINER_PLAN_MEMORY_H
#define RN_TRAINER_PLAN_MEMORY_H

#include "model/spec/spec.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/machine/machine.h"
#include "trainer/parallel/layout.h"

/** Bytes by part. */
typedef struct rn_memory {
  size_t weights, gradients; /* of the stage: used (bf16 copy too), and summed over the units */
  size_t optimizer;          /* of this rank's share: sums over ranks, and both moments */
  size_t activations;        /* of units between forward and backward */
  size_t work;               /* of the unit at work, and of evaluation */
  size_t states;             /* of scans, and carried between steps */
  size_t buffers;            /* of data, sums over ranks, checkpoints */
  size_t program;            /* and its libraries, before anything of a run is made */
} rn_memory;

size_t rn_memory_total(const rn_memory *memory);

/** What every rank needs: memory and parameters of the stages of a layout. */
typedef struct rn_memory_plan {
  int stages;
  int *first;          /* [stages + 1] layers */
  int64_t *parameters; /* [stages] */
  int *pool;           /* [stages] units whose activations are held */
  rn_memory *memory;   /* [stages, 3]: the first rank of a sequence, inner ones, the last */
  size_t *weights;     /* [stages] bytes of a copy, that in bf16 counted */
  bool shared;         /* ranks of a node and stage hold one copy of the weights together */
} rn_memory_plan;

/**
 * For ranks of the threads that this process has, machine.ranks of them on a node in a row. Errors:
 * RN_ERR_USAGE of the layer split; memory.
 */
rn_status rn_memory_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                const rn_layout *layout, rn_machine machine, rn_memory_plan *out);
void rn_memory_plan_destroy(rn_memory_plan *plan);

/**
 * The memory of a rank of the layout, by its number in the world, as its system counts it: what it
 * looks at of shared weights in full. */
const rn_memory *rn_memory_of_rank(const rn_memory_plan *plan, const rn_layout *layout, int rank);

/** The memory of the rank, and of the node of `node_ranks` ranks in a row, that hold most: a node
 * holds shared weights once. */
const rn_memory *rn_memory_largest_rank(const rn_memory_plan *plan);
size_t rn_memory_largest_node(const rn_memory_plan *plan, const rn_layout *layout, int node_ranks);

#endif
