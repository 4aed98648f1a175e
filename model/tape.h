/**
 * What a unit's forward leaves for its backward, and what the tapes of a stage share.
 *
 * Layers work one by one, so what only a layer at work needs lies once in memory, however many
 * tapes there are: rn_tapes has it. A tape has the rest: layers' inputs at least.
 */
#ifndef RN_MODEL_TAPE_H
#define RN_MODEL_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/layer.h"
#include "model/names.h"
#include "proto/arena.h"
#include "proto/real.h"
#include "proto/status.h"

/** How much of a forward pass a tape keeps. */
typedef enum {
  RN_KEEP_NOTHING, /* there is no backward */
  RN_KEEP_INPUTS,  /* of layers, and the states before the piece: backward computes a layer again */
  RN_KEEP_MOST,    /* all but what backward makes on its way: its weight half must follow at once */
  RN_KEEP_ALL
} rn_keep;

/** The layers that tapes are of, for at most R rows; zeroed where nothing has been shared yet. */
typedef struct rn_tapes {
  rn_layer *layer; /* [layer_count]; not owned */
  int first_layer, layer_count;
  int64_t rows;
  int dim;
  int64_t states; /* elements of a layer's states: B H K V */
  rn_arena d_out_arena, lent_arena, shared_arena;
  rn_layer_lender most; /* to tapes that keep most */
  rn_layer_tape shared; /* of tapes that keep less */
} rn_tapes;

typedef struct rn_tape {
  rn_arena arena;
  int first_layer, layer_count;
  rn_keep keep;
  bool train;
  bool weights_done;    /* backward_input had the weights' gradients too */
  rn_layer_tape *layer; /* [layer_count] */
  rn_real *before;      /* [layer_count, states] before the piece, where inputs are kept */
  int64_t states;
  rn_real *embed_stat; /* [R, 2] */
  rn_real *last;       /* [R, D]: what left the last layer */
} rn_tape;

/** Bytes of a tape, and of what is shared once there are tapes of that kind. */
size_t rn_tape_bytes(const rn_tapes *tapes, rn_keep keep);
size_t rn_tapes_shared_bytes(const rn_tapes *tapes, rn_keep keep);

/** A tape, and with the first of a kind what they share. Errors: RN_ERR_MEMORY. */
rn_status rn_tapes_create_tape(rn_err *err, rn_tapes *tapes, rn_keep keep, rn_tape **out);

/**
 * A tape that keeps nothing, in the memory of another one of the same stage, which must outlive it:
 * a forward with either makes what the other holds worthless. Errors: RN_ERR_MEMORY.
 */
rn_status rn_tape_create_on(rn_err *err, const rn_tape *lender, rn_tape **out);
void rn_tape_destroy(rn_tape **tape);

/** What is shared, when all tapes are gone. */
void rn_tapes_destroy(rn_tapes *tapes);

/** The tape's rows [B, T, D]: what left the stage in a kept forward; free for what will enter it.
 */
static inline rn_real *rn_tape_rows(rn_tape *tape) {
  return tape->last;
}

/** Where layer `index` of the stage has its states before the piece; inputs kept. */
static inline rn_real *rn_tape_before(const rn_tape *tape, int index) {
  return tape->before + index * tape->states;
}

#endif
