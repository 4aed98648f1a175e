#include "model/tape.h"

#include <stdlib.h>

static size_t rows_bytes(const rn_tapes *tapes, int64_t width) {
  return rn_arena_round((size_t)(tapes->rows * width) * sizeof(rn_real));
}

static size_t states_bytes(const rn_tapes *tapes) {
  return rn_arena_round((size_t)(tapes->layer_count * tapes->states) * sizeof(rn_real));
}

/* ---- what is shared ---- */

static size_t d_out_bytes(const rn_tapes *tapes, rn_keep keep) {
  const rn_layer *layer = tapes->layer;
  if (keep == RN_KEEP_NOTHING || tapes->layer_count == 0) return 0;
  if (!rn_layer_needs_d_out(layer)) return 0;
  return rn_arena_round((size_t)(tapes->rows * tapes->dim) * rn_element_bytes(layer->half));
}

static size_t lent_bytes(const rn_tapes *tapes) {
  return rn_layer_lender_bytes(tapes->layer, tapes->rows, false);
}

static size_t one_layer_bytes(const rn_tapes *tapes) {
  return rn_layer_lender_bytes(tapes->layer, tapes->rows, true) +
         rn_layer_tape_bytes(tapes->layer, tapes->rows, true, true);
}

size_t rn_tapes_shared_bytes(const rn_tapes *tapes, rn_keep keep) {
  const size_t d_out = d_out_bytes(tapes, keep);
  if (tapes->layer_count == 0 || keep == RN_KEEP_ALL) return d_out;
  return d_out + (keep == RN_KEEP_MOST ? lent_bytes(tapes) : one_layer_bytes(tapes));
}

static rn_status share_d_out(rn_err *err, rn_tapes *tapes, rn_keep keep) {
  const size_t bytes = d_out_bytes(tapes, keep);
  if (bytes == 0 || tapes->d_out_arena.base != NULL) return RN_OK;
  RN_TRY(err, rn_arena_create(err, bytes, &tapes->d_out_arena));
  void *at = rn_arena_take(&tapes->d_out_arena, bytes);
  for (int i = 0; i < tapes->layer_count; i++) {
    tapes->layer[i].d_out = (rn_array){at, tapes->layer[i].half};
  }
  return RN_OK;
}

static rn_status share_lender(rn_err *err, rn_tapes *tapes) {
  const size_t bytes = lent_bytes(tapes);
  if (tapes->most.ffn.product.at != NULL) return RN_OK;
  if (bytes > 0) RN_TRY(err, rn_arena_create(err, bytes, &tapes->lent_arena));
  tapes->most = rn_layer_lender_take(tapes->layer, tapes->rows, false, &tapes->lent_arena);
  return RN_OK;
}

static rn_status share_layer(rn_err *err, rn_tapes *tapes) {
  if (tapes->shared_arena.base != NULL) return RN_OK;
  RN_TRY(err, rn_arena_create(err, one_layer_bytes(tapes), &tapes->shared_arena));
  const rn_layer_lender lender =
      rn_layer_lender_take(tapes->layer, tapes->rows, true, &tapes->shared_arena);
  tapes->shared = rn_layer_tape_take(tapes->layer, tapes->rows, &lender, &tapes->shared_arena);
  return RN_OK;
}

static rn_status share(rn_err *err, rn_tapes *tapes, rn_keep keep) {
  RN_TRY(err, share_d_out(err, tapes, keep));
  if (tapes->layer_count == 0 || keep == RN_KEEP_ALL) return RN_OK;
  return keep == RN_KEEP_MOST ? share_lender(err, tapes) : share_layer(err, tapes);
}

void rn_tapes_destroy(rn_tapes *tapes) {
  rn_arena_destroy(&tapes->d_out_arena);
  rn_arena_destroy(&tapes->lent_arena);
  rn_arena_destroy(&tapes->shared_arena);
}

/* ---- a tape ---- */

/* Inputs of layers that the tape keeps; without a backward one serves them all. */
static int inputs_kept(const rn_tapes *tapes, rn_keep keep) {
  return keep == RN_KEEP_NOTHING && tapes->layer_count > 0 ? 1 : tapes->layer_count;
}

size_t rn_tape_bytes(const rn_tapes *tapes, rn_keep keep) {
  const size_t rows = rows_bytes(tapes, tapes->dim);
  size_t bytes = rows_bytes(tapes, 2) + rows + (size_t)inputs_kept(tapes, keep) * rows;
  if (keep == RN_KEEP_INPUTS) bytes += states_bytes(tapes);
  for (int i = 0; keep >= RN_KEEP_MOST && i < tapes->layer_count; i++) {
    bytes += rn_layer_tape_bytes(&tapes->layer[i], tapes->rows, keep == RN_KEEP_MOST, false);
  }
  return bytes;
}

static void take_parts(const rn_tapes *tapes, rn_tape *tape) {
  const rn_layer_lender *lender = tape->keep == RN_KEEP_MOST ? &tapes->most : NULL;
  rn_real *input = NULL;
  tape->embed_stat = rn_arena_take(&tape->arena, rows_bytes(tapes, 2));
  tape->last = rn_arena_take(&tape->arena, rows_bytes(tapes, tapes->dim));
  if (tape->keep == RN_KEEP_INPUTS) {
    tape->before = rn_arena_take(&tape->arena, states_bytes(tapes));
  }
  for (int i = 0; i < tapes->layer_count; i++) {
    const rn_layer *layer = &tapes->layer[i];
    tape->layer[i] = tape->keep < RN_KEEP_MOST
                         ? tapes->shared
                         : rn_layer_tape_take(layer, tapes->rows, lender, &tape->arena);
    if (i < inputs_kept(tapes, tape->keep)) {
      input = rn_arena_take(&tape->arena, rows_bytes(tapes, tapes->dim));
    }
    rn_layer_tape_keep_at(layer, &tape->layer[i], input);
  }
}

static rn_status take_layers(rn_err *err, rn_tape *tape) {
  return rn_alloc(err, "tape", (size_t)tape->layer_count, sizeof *tape->layer, &tape->layer);
}

rn_status rn_tapes_create_tape(rn_err *err, rn_tapes *tapes, rn_keep keep, rn_tape **out) {
  *out = NULL;
  rn_tape *tape;
  RN_TRY(err, rn_alloc(err, "tape", 1, sizeof *tape, &tape));
  *tape = (rn_tape){.first_layer = tapes->first_layer,
                    .layer_count = tapes->layer_count,
                    .states = tapes->states,
                    .keep = keep};
  rn_status status;
  if ((status = take_layers(err, tape)) != RN_OK || (status = share(err, tapes, keep)) != RN_OK ||
      (status = rn_arena_create(err, rn_tape_bytes(tapes, keep), &tape->arena)) != RN_OK) {
    rn_tape_destroy(&tape);
    return status;
  }
  take_parts(tapes, tape);
  *out = tape;
  return RN_OK;
}

rn_status rn_tape_create_on(rn_err *err, const rn_tape *lender, rn_tape **out) {
  *out = NULL;
  rn_tape *tape;
  RN_TRY(err, rn_alloc(err, "tape", 1, sizeof *tape, &tape));
  *tape = (rn_tape){.first_layer = lender->first_layer,
                    .layer_count = lender->layer_count,
                    .states = lender->states,
                    .keep = RN_KEEP_NOTHING,
                    .embed_stat = lender->embed_stat,
                    .last = lender->last};
  rn_status status = take_layers(err, tape);
  if (status != RN_OK) {
    rn_tape_destroy(&tape);
    return status;
  }
  for (int i = 0; i < tape->layer_count; i++) tape->layer[i] = lender->layer[0];
  *out = tape;
  return RN_OK;
}

void rn_tape_destroy(rn_tape **tape) {
  if (*tape == NULL) return;
  rn_arena_destroy(&(*tape)->arena);
  free((*tape)->layer);
  free(*tape);
  *tape = NULL;
}
