/**
 * The buffers of a stage's activations, by name: what each is for, how long it is live, and where
 * it lies.
 *
 * A plan is made for one save policy, before any memory is allocated. The blocks declare their
 * buffers (rn_buffer_take in a space without memory); rn_buffer_plan_place then computes offsets
 * and sizes; and the same calls in a space with memory return addresses. There are three memories:
 *
 *   RN_MEMORY_UNIT       of a unit, from its forward to the end of its backward
 *   RN_MEMORY_LAYER      the same, once per layer of the stage
 *   RN_MEMORY_WORKSPACE  of the stage, for buffers that no other unit or layer needs; buffers that
 *                        are live in different phases share bytes
 */
#ifndef RN_MODEL_MEMORY_BUFFER_PLAN_H
#define RN_MODEL_MEMORY_BUFFER_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "model/memory/placement.h"
#include "model/memory/save_policy.h"
#include "model/memory/unit_phase.h"

typedef enum { RN_MEMORY_WORKSPACE, RN_MEMORY_LAYER, RN_MEMORY_UNIT, RN_MEMORIES } rn_memory_kind;

/** How long the contents of a buffer are needed. */
typedef enum {
  RN_BUFFER_TEMPORARY,  /* within the forward or the backward of one layer */
  RN_BUFFER_RECOMPUTED, /* as a temporary, unless the policy saves it: backward can recompute it */
  RN_BUFFER_SAVED,  /* from the layer's forward to its backward, which may recompute the layer */
  RN_BUFFER_INPUT,  /* from the layer's forward to its backward */
  RN_BUFFER_OF_UNIT /* from the unit's forward to its backward */
} rn_buffer_kind;

typedef struct rn_buffer_use {
  rn_buffer_kind kind;
  rn_phase_set forward, backward; /* the phases that access the buffer, and those in between */
} rn_buffer_use;

/** A temporary buffer that is accessed in phases first .. last of forward. */
static inline rn_buffer_use rn_use_in_forward(rn_unit_phase first, rn_unit_phase last) {
  return (rn_buffer_use){RN_BUFFER_TEMPORARY, rn_phase_range(first, last), 0};
}

/** A temporary buffer that is accessed in phases first .. last of backward. */
static inline rn_buffer_use rn_use_in_backward(rn_unit_phase first, rn_unit_phase last) {
  return (rn_buffer_use){RN_BUFFER_TEMPORARY, 0, rn_phase_range(first, last)};
}

/** Uses of both; the second one does not need what the first one leaves. */
static inline rn_buffer_use rn_use_twice(rn_buffer_use a, rn_buffer_use b) {
  return (rn_buffer_use){a.kind, a.forward | b.forward, a.backward | b.backward};
}

/** A buffer that backward computes again, and accesses in phases first_again .. last_again. */
static inline rn_buffer_use rn_use_recomputed(rn_unit_phase first, rn_unit_phase last,
                                              rn_unit_phase first_backward,
                                              rn_unit_phase last_backward) {
  return (rn_buffer_use){RN_BUFFER_RECOMPUTED, rn_phase_range(first, last),
                         rn_phase_range(first_backward, last_backward)};
}

/** `last`: the last access of forward; `last_backward`: of backward. */
static inline rn_buffer_use rn_use_saved(rn_unit_phase first, rn_unit_phase last,
                                         rn_unit_phase last_backward) {
  return (rn_buffer_use){RN_BUFFER_SAVED, rn_phase_range(first, last),
                         rn_phase_range(last + 1, last_backward)};
}

/** A buffer with its memory. */
typedef struct rn_planned_buffer {
  rn_buffer buffer;
  rn_memory_kind memory;
} rn_planned_buffer;

typedef struct rn_buffer_plan {
  rn_save_policy policy;
  rn_planned_buffer planned[RN_PLACEMENT_MAX];
  int count;
  bool placed;
  size_t bytes[RN_MEMORIES]; /* of each memory; of RN_MEMORY_LAYER for one layer */
} rn_buffer_plan;

/** A plan without buffers. */
rn_buffer_plan rn_buffer_plan_make(rn_save_policy policy);

/** Computes the offsets and sizes, after all buffers have been declared. */
void rn_buffer_plan_place(rn_buffer_plan *plan);

/** Memory for the buffers of one layer of one unit. */
typedef struct rn_buffer_space {
  rn_buffer_plan *plan;    /* not owned */
  char *base[RN_MEMORIES]; /* not owned; unused before the plan is placed */
} rn_buffer_space;

/**
 * Before the plan is placed: declares a buffer and returns NULL. Afterwards: returns its address;
 * NULL if the policy has no use for it. The contents are undefined in the first phase of each use.
 */
void *rn_buffer_take(const rn_buffer_space *space, const char *name, size_t bytes,
                     rn_buffer_use use);

#endif
