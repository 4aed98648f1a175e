#include "model/decode/prefill.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/decode/decoder.h"
#include "model/retention/local_state.h"
#include "proto/base/arena.h"

struct rn_prefill {
  rn_decoder *d;
  int slot, max_tokens;
  rn_scan_port scan;
  int32_t *doc_position; /* [max_tokens] */
  /* the scan in progress */
  int layer;
  rn_scan_element element;
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
  free(*prefill);
  *prefill = NULL;
}

/* ---- units ---- */

rn_decoder *rn_prefill_decoder(const rn_prefill *p) {
  return p->d;
}

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
  return (rn_prefill_unit){position, p->doc_position, &p->scan};
}

void rn_prefill_end(rn_prefill *p, int tokens) {
  p->d->position[p->slot] += tokens;
}
