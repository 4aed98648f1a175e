/**
 * Lists the phases of the computation of a unit (model/pass/unit.h) on a stage. The lifetimes of
 * buffers are sets of phases.
 *
 * The phases of one layer come first, in the order of execution: forward, then backward. Layers run
 * one at a time, so all layers share one list. The phases outside of layers follow.
 */
#ifndef RN_MODEL_MEMORY_UNIT_PHASE_H
#define RN_MODEL_MEMORY_UNIT_PHASE_H

#include "model/memory/placement.h"

typedef enum {
  /* forward of a layer */
  RN_UNIT_PHASE_RETENTION_NORM, /* input of the retention block */
  RN_UNIT_PHASE_KV,             /* projections of k and v */
  RN_UNIT_PHASE_STATES,         /* contributions to states; the scan begins */
  RN_UNIT_PHASE_QG,             /* projections of q and g, while the scan is in flight */
  RN_UNIT_PHASE_INNER,          /* retention inside chunks, while the scan is in flight */
  RN_UNIT_PHASE_CROSS,          /* retention across chunks, after the scan */
  RN_UNIT_PHASE_OUT,            /* head norm, gate, output projection */
  RN_UNIT_PHASE_FFN_NORM,       /* residual addition; input of the feed-forward block */
  RN_UNIT_PHASE_FFN,            /* feed-forward block */
  RN_UNIT_PHASE_RESIDUAL,       /* output of the layer */
  /* backward of a layer */
  RN_UNIT_PHASE_D_RESIDUAL,       /* gradient of the feed-forward block's output */
  RN_UNIT_PHASE_D_FFN,            /* feed-forward block */
  RN_UNIT_PHASE_D_FFN_NORM,       /* backward of the norm of the block's input */
  RN_UNIT_PHASE_FFN_WEIGHT,       /* weight gradients of the feed-forward block */
  RN_UNIT_PHASE_D_RETENTION,      /* gradient of the retention block's output */
  RN_UNIT_PHASE_D_OUT,            /* output projection, gate, head norm */
  RN_UNIT_PHASE_OUT_WEIGHT,       /* weight gradient of the output projection */
  RN_UNIT_PHASE_D_STATES,         /* contributions to adjoints; the scan begins */
  RN_UNIT_PHASE_SCAN_WEIGHT,      /* deferred weight gradients, while the scan is in flight */
  RN_UNIT_PHASE_D_INNER,          /* retention inside chunks, while the scan is in flight */
  RN_UNIT_PHASE_D_CROSS,          /* retention across chunks, after the scan */
  RN_UNIT_PHASE_D_QKVG,           /* projections of q, k, v and g */
  RN_UNIT_PHASE_D_RETENTION_NORM, /* backward of the norm of the block's input */
  RN_UNIT_PHASE_QKVG_WEIGHT,      /* weight gradients of the projections of q, k, v and g */
  /* outside of layers */
  RN_UNIT_PHASE_EMBED,   /* embedding; on stages other than the first, copy of the input */
  RN_UNIT_PHASE_HEAD,    /* vocabulary head: loss and its gradient, or logits */
  RN_UNIT_PHASE_D_EMBED, /* gradient of the embedding */
  RN_UNIT_PHASES
} rn_unit_phase;

/** Returns a short name for tables, for example "ffn norm". */
const char *rn_unit_phase_name(rn_unit_phase phase);

enum { RN_UNIT_PHASES_TEXT_BYTES = 160 };

/** Writes a set of phases as ranges, for example "kv .. cross, d out"; text that is too long is
 * truncated. */
void rn_unit_phases_text(rn_phase_set phases, char text[RN_UNIT_PHASES_TEXT_BYTES]);

#endif
