#include "model/decode/prefill.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/array.h"
#include "model/decode/decoder.h"
#include "model/retention/local_state.h"
#include "proto/base/arena.h"

struct rn_prefill {
  rn_decoder *d;
  int slot, max_tokens;
  rn_scan_port scan;
  rn_row_port rows;
  int32_t *doc_position; /* [max_tokens] */
  int ld;                /* row stride of `row` */
  rn_real *row; /* [capacity of the cache + max_tokens, ld]: keys and values of the current layer */
  /* arguments of the scan or the exchange in progress */
  int layer;
  rn_scan_element element;
  rn_range positions;
};

/* ---- states of retention layers ---- */

static rn_status scan_begin(void *self, rn_err *err, rn_scan_direction direction, int layer,
                            rn_scan_element element) {
  rn_prefill *p = self;
  (void)err;
  (void)direction;
  assert(direction == RN_SCAN_FORWARD);
  p->layer = layer;
  p->element = element;
  return RN_OK;
}

static rn_status scan_end(void *self, rn_err *err, rn_real *before) {
  rn_prefill *p = self;
  rn_real *state = rn_decoder_state(p->d, p->slot, p->layer);
  (void)err;
  if (p->d->position[p->slot] == 0) {
    memset(state, 0, (size_t)(p->element.n * p->element.m) * sizeof *state);
  }
  rn_local_state_advance(p->element, state, before);
  return RN_OK;
}

static bool scan_test(void *self) {
  (void)self;
  return true;
}

static void no_poll(void *self) {
  (void)self;
}

/* ---- keys and values of attention layers ---- */

/* Copies the keys and values of a token, all heads, from the cache to a row, or back. */
static void copy_token(const rn_prefill *p, int layer, int64_t position, rn_real *row,
                       bool to_cache) {
  const rn_attention_cache *c = &p->d->cache;
  for (int g = 0; g < c->kv_heads; g++) {
    rn_real *key = row + g * c->width, *value = key + c->kv_heads * c->width;
    const rn_cache_head at = {c, layer, p->slot, g};
    if (to_cache) {
      rn_attention_cache_put(at, position, key, value);
    } else {
      rn_attention_cache_get(at, position, key, value);
    }
  }
}

/* Copies the rows in the cache to p->row, and then stores the rows of the unit in the cache. With a
 * window, the unit's rows overwrite cached rows that the first queries of the unit still see; these
 * queries read the copy. Rows of the unit that later rows of the unit would overwrite are not
 * stored. */
static rn_status rows_begin(void *self, rn_err *err, const rn_row_piece *piece) {
  rn_prefill *p = self;
  const rn_attention_cache *c = &p->d->cache;
  const rn_range own = piece->positions, held = rn_attention_cache_held(c, own.begin);
  const int64_t kept = rn_attention_cache_held(c, own.end).begin;
  rn_real *own_rows = p->row + rn_range_count(held) * p->ld;
  (void)err;
  assert(piece->sequences == 1 && piece->bytes == (size_t)p->ld * sizeof *p->row);
  assert(own.begin == p->d->position[p->slot] && rn_range_count(own) <= p->max_tokens);
#pragma omp parallel for schedule(static)
  for (int64_t n = held.begin; n < held.end; n++) {
    copy_token(p, piece->layer, n, p->row + (n - held.begin) * p->ld, false);
  }
  memcpy(own_rows, piece->rows, (size_t)rn_range_count(own) * piece->bytes);
  for (int64_t n = own.begin > kept ? own.begin : kept; n < own.end; n++) {
    copy_token(p, piece->layer, n, own_rows + (n - own.begin) * p->ld, true);
  }
  p->positions = (rn_range){held.begin, own.end};
  return RN_OK;
}

static rn_status rows_end(void *self, rn_err *err, rn_row_view *out) {
  const rn_prefill *p = self;
  (void)err;
  *out = (rn_row_view){p->positions, rn_range_count(p->positions), p->row};
  return RN_OK;
}

static rn_status take_rows(rn_err *err, rn_prefill *p) {
  const rn_attention_cache *c = &p->d->cache;
  if (c->layers == 0) return RN_OK;
  p->ld = rn_row_distance(2 * c->kv_heads * c->width, false);
  p->rows = (rn_row_port){.self = p, .begin = rows_begin, .poll = no_poll, .end = rows_end};
  return rn_alloc(err, "keys and values of a prompt",
                  (size_t)(c->capacity + p->max_tokens) * (size_t)p->ld, sizeof *p->row, &p->row);
}

/* ---- creation ---- */

rn_status rn_prefill_create(rn_err *err, rn_decoder *decoder, int max_tokens, rn_prefill **out) {
  rn_prefill *p;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "prefill", 1, sizeof *p, &p));
  *p = (rn_prefill){.d = decoder, .max_tokens = max_tokens};
  p->scan = (rn_scan_port){
      .self = p, .begin = scan_begin, .poll = no_poll, .end = scan_end, .test = scan_test};
  rn_status status =
      rn_alloc(err, "prefill", (size_t)max_tokens, sizeof *p->doc_position, &p->doc_position);
  if (status == RN_OK) status = take_rows(err, p);
  if (status != RN_OK) {
    rn_prefill_destroy(&p);
    return status;
  }
  *out = p;
  return RN_OK;
}

void rn_prefill_destroy(rn_prefill **prefill) {
  if (*prefill == NULL) return;
  free((*prefill)->doc_position);
  free((*prefill)->row);
  free(*prefill);
  *prefill = NULL;
}

/* ---- units ---- */

const rn_spec *rn_prefill_spec(const rn_prefill *p) {
  return &p->d->spec;
}

int rn_prefill_max_tokens(const rn_prefill *p) {
  return p->max_tokens;
}

rn_prefill_unit rn_prefill_begin(rn_prefill *p, int slot, int tokens) {
  const int64_t position = p->d->position[slot];
  assert(tokens <= p->max_tokens);
  p->slot = slot;
  for (int i = 0; i < tokens; i++) {
    p->doc_position[i] = (int32_t)rn_smaller(position + i, INT32_MAX);
  }
  return (rn_prefill_unit){position, p->doc_position, &p->scan,
                           p->d->cache.layers > 0 ? &p->rows : NULL};
}

void rn_prefill_end(rn_prefill *p, int tokens) {
  p->d->position[p->slot] += tokens;
}
