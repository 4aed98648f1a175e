#include "data/tokenizer/bpe_tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/tokenizer/pretokenizer.h"
#include "proto/base/arena.h"

struct rn_bpe_tokenizer {
  rn_pretokenizer *pretokenizer;
  /* rn_bpe_tokenizer_finish moves `table` to the rn_tokenizer. From then on `tokens` points to
   * the arrays of the moved table, and `bpe` reads them through `tokens`. */
  rn_token_table table;
  rn_token_table tokens;
  rn_bpe bpe;
};

/* Sizes of the cache for the ids of recent pieces, which saves time because words repeat. A new
 * piece replaces the piece in its slot. */
enum { CACHE_SLOTS = 1 << 15, CACHED_BYTES = 31, CACHED_IDS = 7 };

typedef struct cached {
  uint64_t hash;
  unsigned char bytes_count, ids;
  unsigned char bytes[CACHED_BYTES];
  unsigned char length[CACHED_IDS];
  int32_t id[CACHED_IDS];
} cached;

typedef struct work {
  const rn_bpe_tokenizer *bpe;
  rn_pretokenizer_work *pretokenizer;
  rn_bpe_work merging;
  cached *cache; /* [CACHE_SLOTS] */
  rn_tokens *tokens;
} work;

static void destroy_work(void *self) {
  work *w = self;
  rn_pretokenizer_work_destroy(&w->pretokenizer);
  rn_bpe_work_free(&w->merging);
  free(w->cache);
  free(w);
}

static rn_status create_work(rn_err *err, const void *self, void **out) {
  const rn_bpe_tokenizer *bpe = self;
  work *w = NULL;
  RN_TRY(err, rn_alloc(err, "encoder", 1, sizeof *w, &w));
  w->bpe = bpe;
  rn_status status = rn_alloc(err, "encoder", CACHE_SLOTS, sizeof *w->cache, &w->cache);
  if (status == RN_OK) {
    status = rn_pretokenizer_work_create(err, bpe->pretokenizer, &w->pretokenizer);
  }
  if (status != RN_OK) {
    destroy_work(w);
    return status;
  }
  *out = w;
  return RN_OK;
}

static void remember(cached *slot, uint64_t hash, const unsigned char *piece, size_t count,
                     const rn_tokens *tokens, size_t first) {
  const size_t ids = tokens->count - first;
  if (ids > CACHED_IDS) return;
  slot->hash = hash;
  slot->bytes_count = (unsigned char)count;
  slot->ids = (unsigned char)ids;
  memcpy(slot->bytes, piece, count);
  for (size_t i = 0; i < ids; i++) {
    slot->id[i] = tokens->id[first + i];
    slot->length[i] = (unsigned char)tokens->text_bytes[first + i];
  }
}

static rn_status encode_piece(void *self, rn_err *err, const unsigned char *piece, size_t count) {
  work *w = self;
  if (count > CACHED_BYTES) {
    return rn_bpe_encode(err, &w->bpe->bpe, &w->merging, piece, count, w->tokens);
  }
  const uint64_t hash = XXH3_64bits(piece, count);
  cached *slot = &w->cache[hash % CACHE_SLOTS];
  if (slot->hash == hash && slot->bytes_count == count && memcmp(slot->bytes, piece, count) == 0) {
    for (int i = 0; i < slot->ids; i++) {
      RN_TRY(err, rn_tokens_add(err, w->tokens, slot->id[i], slot->length[i]));
    }
    return RN_OK;
  }
  const size_t first = w->tokens->count;
  RN_TRY(err, rn_bpe_encode(err, &w->bpe->bpe, &w->merging, piece, count, w->tokens));
  remember(slot, hash, piece, count, w->tokens, first);
  return RN_OK;
}

static rn_status encode(rn_err *err, const void *self, void *at_work, const char *text,
                        size_t count, rn_tokens *tokens) {
  (void)self;
  work *w = at_work;
  w->tokens = tokens;
  return rn_pretokenizer_split(err, w->pretokenizer, text, count, encode_piece, w);
}

static size_t cut(const void *self, const char *text, size_t count) {
  return rn_pretokenizer_cut(((const rn_bpe_tokenizer *)self)->pretokenizer, text, count);
}

static void destroy(void *self) {
  rn_bpe_tokenizer *bpe = self;
  rn_bpe_tokenizer_destroy(&bpe);
}

rn_status rn_bpe_tokenizer_create(rn_err *err, const char *pattern, rn_bpe_tokenizer **out) {
  rn_bpe_tokenizer *bpe = NULL;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "tokenizer", 1, sizeof *bpe, &bpe));
  const rn_status status = rn_pretokenizer_create(err, pattern, &bpe->pretokenizer);
  if (status != RN_OK) rn_bpe_tokenizer_destroy(&bpe);
  *out = bpe;
  return status;
}

void rn_bpe_tokenizer_destroy(rn_bpe_tokenizer **bpe) {
  if (*bpe == NULL) return;
  rn_pretokenizer_destroy(&(*bpe)->pretokenizer);
  rn_bpe_free(&(*bpe)->bpe);
  rn_token_table_free(&(*bpe)->table);
  free(*bpe);
  *bpe = NULL;
}

rn_bpe *rn_bpe_tokenizer_merges(rn_bpe_tokenizer *bpe) {
  return &bpe->bpe;
}

rn_token_table *rn_bpe_tokenizer_table(rn_bpe_tokenizer *bpe) {
  return &bpe->table;
}

rn_status rn_bpe_tokenizer_finish(rn_err *err, rn_bpe_tokenizer **taken, const char *name,
                                  uint64_t hash, int32_t document, rn_tokenizer **out) {
  static const rn_tokenizer_calls calls = {.work_create = create_work,
                                           .work_destroy = destroy_work,
                                           .encode = encode,
                                           .cut = cut,
                                           .destroy = destroy};
  rn_bpe_tokenizer *bpe = *taken;
  rn_tokenizer_content content = {
      .calls = &calls, .self = bpe, .table = bpe->table, .document = document, .lossless = true};
  *taken = NULL;
  bpe->table = (rn_token_table){0};
  RN_TRY(err, rn_tokenizer_make(err, name, hash, &content, out));
  /* rn_tokenizer_make took the table and may have added the document token. */
  bpe->tokens = content.table;
  bpe->bpe.table = &bpe->tokens;
  return RN_OK;
}
