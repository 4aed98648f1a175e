/**
 * The layout of a run and what it will need: chosen by rule, held against the memory of the nodes.
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
  char pipeline_reason[RN_PLAN_REASON_BYTES]; /* why there are so many stages */
  char lack[RN_PLAN_LACK_BYTES]; /* what memory a node lacks, and a layout that fits; "": none */
} rn_plan;

/**
 * A plan for `ranks` ranks on such machines. Where parallel.pipeline is 0 and one stage does not
 * fit into a node's memory, the fewest stages that fit.
 *
 * Errors: those of rn_layout_resolve; RN_ERR_USAGE when a node's memory cannot hold its ranks,
 *         naming a layout that fits, or how many ranks would.
 */
rn_status rn_plan_create(rn_err *err, const Retnet__Config *config, const rn_spec *spec, int ranks,
                         rn_machine machine, rn_plan *out);
/** The same for nodes that are only supposed: a layout that does not fit is told in `lack`. */
rn_status rn_plan_create_any(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                             int ranks, rn_machine machine, rn_plan *out);
void rn_plan_destroy(rn_plan *plan);

/** Bytes of the node that holds most. */
size_t rn_plan_node_bytes(const rn_plan *plan);

#endif
