/**
 * Plans the buffers of a stage's activations. A plan stores the name of each buffer, the phases in
 * which the buffer is live, and the buffer's offset in memory.
 *
 * A plan is made for one save policy, before any memory is allocated. First the blocks declare
 * their buffers with rn_buffer_take. Then rn_buffer_plan_place computes offsets and sizes. After
 * memory has been allocated, the same calls of rn_buffer_take return addresses. A unit is one
 * segment of one micro-batch (model/pass/unit.h). There are three kinds of memory:
 *
 *   RN_MEMORY_UNIT       one per unit, from its forward to the end of its backward
 *   RN_MEMORY_LAYER      one per unit and layer of the stage, for the same time
 *   RN_MEMORY_WORKSPACE  one per stage, shared by all units and layers; buffers that are live in
 *                        different phases share bytes
 *
 * A layer has either a retention block or an attention block. The buffers of one kind of block
 * share bytes with those of the other kind.
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
  RN_BUFFER_TEMPORARY,  /* needed only within the forward or within the backward of one layer */
  RN_BUFFER_RECOMPUTED, /* can be recomputed by backward; temporary unless the policy saves it */
  RN_BUFFER_SAVED,      /* needed from the layer's forward to its backward; with RN_SAVE_INPUTS not
                           saved, since backward recomputes the layer */
  RN_BUFFER_INPUT,  /* needed from the layer's forward to its backward, also with RN_SAVE_INPUTS */
  RN_BUFFER_OF_UNIT /* needed from the unit's forward to its backward */
} rn_buffer_kind;

typedef struct rn_buffer_use {
  rn_buffer_kind kind;
  rn_phase_set forward, backward; /* phases of forward and of backward, each from the first to the
                                     last access to the buffer */
} rn_buffer_use;

/** Describes a temporary buffer that is accessed in phases first .. last of forward. */
static inline rn_buffer_use rn_use_in_forward(rn_unit_phase first, rn_unit_phase last) {
  return (rn_buffer_use){RN_BUFFER_TEMPORARY, rn_phase_range(first, last), 0};
}

/** Describes a temporary buffer that is accessed in phases first .. last of backward. */
static inline rn_buffer_use rn_use_in_backward(rn_unit_phase first, rn_unit_phase last) {
  return (rn_buffer_use){RN_BUFFER_TEMPORARY, 0, rn_phase_range(first, last)};
}

/** Combines two uses of one buffer. The contents are not preserved from the first use to the
 * second. */
static inline rn_buffer_use rn_use_twice(rn_buffer_use a, rn_buffer_use b) {
  return (rn_buffer_use){a.kind, a.forward | b.forward, a.backward | b.backward};
}

/** Describes a buffer that forward accesses in phases first .. last, and that backward
 * recomputes and accesses in phases first_backward .. last_backward. */
static inline rn_buffer_use rn_use_recomputed(rn_unit_phase first, rn_unit_phase last,
                                              rn_unit_phase first_backward,
                                              rn_unit_phase last_backward) {
  return (rn_buffer_use){RN_BUFFER_RECOMPUTED, rn_phase_range(first, last),
                         rn_phase_range(first_backward, last_backward)};
}

/** Describes a buffer that forward saves for backward. Forward accesses it in phases first ..
 * last; backward accesses it until phase last_backward. */
static inline rn_buffer_use rn_use_saved(rn_unit_phase first, rn_unit_phase last,
                                         rn_unit_phase last_backward) {
  return (rn_buffer_use){RN_BUFFER_SAVED, rn_phase_range(first, last),
                         rn_phase_range(last + 1, last_backward)};
}

/** The layers that have a buffer. */
typedef enum { RN_ALL_LAYERS, RN_RETENTION_LAYERS, RN_ATTENTION_LAYERS, RN_LAYER_KINDS } rn_layers;

/** A buffer, its kind of memory, and the layers that have it. */
typedef struct rn_planned_buffer {
  rn_buffer buffer;
  rn_memory_kind memory;
  rn_layers layers;
} rn_planned_buffer;

typedef struct rn_buffer_plan {
  rn_save_policy policy;
  rn_planned_buffer planned[RN_PLACEMENT_MAX];
  int count;
  bool placed;
  size_t bytes[RN_MEMORIES]; /* size of each kind of memory; for RN_MEMORY_LAYER, the maximum per
                                layer */
  size_t layer_bytes[RN_LAYER_KINDS]; /* size of RN_MEMORY_LAYER for a layer of each kind */
} rn_buffer_plan;

/** Returns a plan without buffers. */
rn_buffer_plan rn_buffer_plan_make(rn_save_policy policy);

/** Computes the offsets and sizes, after all buffers have been declared. */
void rn_buffer_plan_place(rn_buffer_plan *plan);

/** The memory that holds the buffers of one layer for one unit (model/pass/unit.h). */
typedef struct rn_buffer_space {
  rn_buffer_plan *plan;    /* not owned */
  char *base[RN_MEMORIES]; /* not owned; unused before rn_buffer_plan_place */
  rn_layers layers;        /* kind of the layers whose buffers are declared */
} rn_buffer_space;

/**
 * Before rn_buffer_plan_place, declares a buffer and returns NULL. Afterwards, returns the address
 * of the buffer, or NULL if the save policy does not use the buffer. At the beginning of each range
 * of phases in which a buffer is live, its contents are undefined.
 */
void *rn_buffer_take(const rn_buffer_space *space, const char *name, size_t bytes,
                     rn_buffer_use use);

#endif
