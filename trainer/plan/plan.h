/**
 * The plan of a run consists of the layout, which is chosen automatically, and the memory that the
 * run needs, which is compared with the memory of the nodes.
 */
#ifndef RN_TRAINER_PLAN_PLAN_H
#define RN_TRAINER_PLAN_PLAN_H

#include "trainer/machine/machine.h"
#include "trainer/plan/memory.h"

enum { RN_PLAN_REASON_BYTES = 256, RN_PLAN_LACK_BYTES = 512 };

typedef struct rn_plan {
  int ranks;
  rn_machine machine;
  rn_layout layout;
  rn_memory_plan memory;
  char pipeline_reason[RN_PLAN_REASON_BYTES]; /* why this number of stages was chosen */
  char lack[RN_PLAN_LACK_BYTES]; /* memory shortage and a layout that fits; "" if the plan fits */
} rn_plan;

/**
 * Creates a plan for `ranks` ranks on nodes like `machine`. If parallel.pipeline is 0 and a run
 * with one stage does not fit into the memory of the nodes, uses the smallest number of stages that
 * fits.
 *
 * Errors: those of rn_layout_resolve and rn_size_check; RN_ERR_USAGE if a node's memory is too
 *         small for its ranks, naming a layout that fits, with more ranks if necessary.
 */
rn_status rn_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec, int ranks,
                         rn_machine machine, rn_plan *out);
/**
 * Creates a plan like rn_plan_create, but accepts a layout that does not fit into memory: out->lack
 * then describes the shortage.
 */
rn_status rn_plan_create_any(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                             int ranks, rn_machine machine, rn_plan *out);
void rn_plan_destroy(rn_plan *plan);

/**
 * Checks that all ranks have planned the same layout. Without this check, ranks with different
 * layouts would wait for each other forever.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MISMATCH, agreed, naming the first rank whose layout differs from that of rank
 *             0, and both layouts; RN_ERR_MPI.
 */
rn_status rn_plan_check_same(rn_err *err, rn_world *world, const rn_plan *plan);

/** Returns the memory use, in bytes, of the node that uses the most memory. */
size_t rn_plan_node_bytes(const rn_plan *plan);

#endif
