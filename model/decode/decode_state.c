/*
 * Saves and loads the state of a slot. The saved bytes are the position of the next token
 * (int64_t), then for each layer the state [H, K, V] or, in an attention layer, for each key head
 * the keys [held, K] and the values [held, K] of the stored tokens, oldest first.
 */
#include <assert.h>
#include <string.h>

#include "model/decode/decoder.h"

/* The maximum position in a saved state. No sequence is longer, and sums of positions up to this
 * limit do not overflow. */
static const int64_t MAX_POSITION = INT64_C(1) << 48;

/* The progress of saving or loading. */
typedef struct walk {
  bool save; /* true: copies to the saved bytes; false: copies from them */
  char *at;  /* next saved byte */
} walk;

static void move(walk *w, void *value, size_t bytes) {
  memcpy(w->save ? w->at : value, w->save ? value : w->at, bytes);
  w->at += bytes;
}

static void move_head(walk *w, rn_cache_head at, rn_range held) {
  const int K = at.cache->width;
  for (int64_t n = held.begin; n < held.end; n++) {
    move(w, rn_attention_cache_token(at, n).key, (size_t)K * sizeof(rn_real));
  }
  for (int64_t n = held.begin; n < held.end; n++) {
    const rn_cache_token token = rn_attention_cache_token(at, n);
    for (int e = 0; e < K; e++) move(w, token.value + e * token.stride, sizeof(rn_real));
  }
}

/* Returns the number of elements of a retention layer's state. */
static size_t state_elements(const rn_decoder *d) {
  return (size_t)d->spec.dim * (size_t)d->value_width;
}

static void move_layers(walk *w, rn_decoder *d, int slot, int64_t position) {
  const rn_range held = rn_attention_cache_held(&d->cache, position);
  int attending = 0;
  for (int layer = 0; layer < d->spec.layers; layer++) {
    if (!rn_spec_attends(&d->spec, layer)) {
      move(w, rn_decoder_state(d, slot, layer), state_elements(d) * sizeof(rn_real));
      continue;
    }
    for (int g = 0; g < d->cache.kv_heads; g++) {
      move_head(w, (rn_cache_head){&d->cache, attending, slot, g}, held);
    }
    attending++;
  }
}

static size_t saved_bytes(const rn_decoder *d, int64_t position) {
  const size_t held = (size_t)rn_range_count(rn_attention_cache_held(&d->cache, position));
  const size_t token = 2 * (size_t)d->cache.kv_heads * (size_t)d->cache.width;
  return sizeof position +
         ((size_t)d->retaining * state_elements(d) + (size_t)d->cache.layers * held * token) *
             sizeof(rn_real);
}

size_t rn_decoder_saved_bytes(const rn_decoder *d, int slot) {
  return saved_bytes(d, d->position[slot]);
}

void rn_decoder_save(rn_decoder *d, int slot, void *to) {
  walk w = {.save = true, .at = to};
  move(&w, &d->position[slot], sizeof d->position[slot]);
  move_layers(&w, d, slot, d->position[slot]);
}

/* Returns the number of earlier tokens that a token at a position sees in attention layers. */
static int64_t tokens_seen(const rn_spec *spec, int64_t position) {
  const int window = spec->attention_window;
  return window > 0 ? rn_smaller(position, window) : position;
}

int64_t rn_decoder_saved_position(const void *saved, size_t bytes) {
  int64_t position = -1;
  if (bytes >= sizeof position) memcpy(&position, saved, sizeof position);
  return position <= MAX_POSITION ? position : -1;
}

rn_status rn_decoder_load(rn_err *err, rn_decoder *d, int slot, const void *from, size_t bytes) {
  int64_t position = rn_decoder_saved_position(from, bytes);
  if (position < 0) {
    return rn_fail(err, RN_ERR_FORMAT, "the saved state is damaged: it has no valid position");
  }
  const int64_t tokens = tokens_seen(&d->spec, position);
  if (d->cache.layers > 0 && tokens > d->cache.capacity) {
    return rn_fail(err, RN_ERR_USAGE,
                   "the saved state has keys and values of %lld tokens, but the decoder has memory "
                   "for only %lld",
                   (long long)tokens, (long long)d->cache.capacity);
  }
  if (bytes != saved_bytes(d, position)) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "the saved state has %zu bytes instead of %zu: it is damaged, or belongs to "
                   "another model",
                   bytes, saved_bytes(d, position));
  }
  walk w = {.at = (char *)(uintptr_t)from};
  move(&w, &d->position[slot], sizeof position);
  move_layers(&w, d, slot, position);
  return RN_OK;
}
