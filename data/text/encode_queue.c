#include "data/text/encode_queue.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

/* The complete segments are encoded together when they have BATCH_BYTES bytes per thread, or when
 * there are SEGMENTS of them. */
enum { SEGMENT_BYTES = 1 << 18, BATCH_BYTES = 1 << 20, SEGMENTS = 4096 };

/* A document, or a part of a document that can be encoded without the rest. */
typedef struct segment {
  size_t offset, count; /* position and size of the segment in `text` */
  bool begins, ends;    /* true if the segment begins or ends a document */
  rn_tokens tokens;
} segment;

struct rn_encode_queue {
  const rn_tokenizer *tokenizer;
  rn_queue_visitor visitor;
  int threads;
  bool may_cut;
  size_t max_bytes;     /* maximum size of the open segment */
  rn_encoder **encoder; /* [threads] */
  rn_text text;         /* text of the complete segments, then of the open segment */
  segment *segment;     /* [SEGMENTS] */
  int segments;         /* number of complete segments */
  size_t open;          /* offset in `text` of the open segment, which is still being filled */
  size_t next_try;      /* size of the open segment at which a cut is tried next */
  bool begins;          /* the open segment begins a document */
};

rn_status rn_encode_queue_create(rn_err *err, const rn_tokenizer *tokenizer, const char *special,
                                 size_t max_bytes, rn_queue_visitor visitor,
                                 rn_encode_queue **out) {
  rn_encode_queue *q = NULL;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "encode queue", 1, sizeof *q, &q));
  q->tokenizer = tokenizer;
  q->visitor = visitor;
  q->threads = omp_get_max_threads();
  q->max_bytes = max_bytes > 0 ? max_bytes : (size_t)1 << 30;
  q->next_try = SEGMENT_BYTES;
  q->begins = true;
  rn_status status =
      rn_alloc(err, "encode queue", (size_t)q->threads, sizeof *q->encoder, &q->encoder);
  if (status == RN_OK)
    status = rn_alloc(err, "segments", SEGMENTS, sizeof *q->segment, &q->segment);
  for (int i = 0; status == RN_OK && i < q->threads; i++) {
    status = rn_encoder_create(err, tokenizer, &q->encoder[i]);
    if (status == RN_OK && special != NULL) status = rn_encoder_allow(err, q->encoder[i], special);
  }
  if (status == RN_OK) q->may_cut = rn_encoder_may_cut(q->encoder[0]);
  if (status != RN_OK) rn_encode_queue_destroy(&q);
  *out = q;
  return status;
}

void rn_encode_queue_destroy(rn_encode_queue **queue) {
  rn_encode_queue *q = *queue;
  if (q == NULL) return;
  for (int i = 0; q->encoder != NULL && i < q->threads; i++) rn_encoder_destroy(&q->encoder[i]);
  for (int i = 0; q->segment != NULL && i < SEGMENTS; i++) rn_tokens_free(&q->segment[i].tokens);
  free(q->encoder);
  free(q->segment);
  rn_text_free(&q->text);
  free(q);
  *queue = NULL;
}

/* Encodes the complete segments; returns the error of the first one that fails. */
static rn_status encode_all(rn_err *err, rn_encode_queue *q) {
  rn_status status = RN_OK;
  int failed = SEGMENTS;
#pragma omp parallel for schedule(dynamic, 1) num_threads(q->threads)
  for (int i = 0; i < q->segments; i++) {
    segment *s = &q->segment[i];
    rn_err own = {0};
    s->tokens.count = 0;
    const rn_status one = rn_encoder_encode(&own, q->encoder[omp_get_thread_num()],
                                            q->text.bytes + s->offset, s->count, &s->tokens);
    if (one == RN_OK) continue;
#pragma omp critical(rn_encode_queue_error)
    if (i < failed) {
      failed = i;
      status = one;
      *err = own;
    }
  }
  return status;
}

rn_status rn_encode_queue_flush(rn_err *err, rn_encode_queue *q) {
  RN_TRY(err, encode_all(err, q));
  for (int i = 0; i < q->segments; i++) {
    const segment *s = &q->segment[i];
    RN_TRY(err, q->visitor.visit(q->visitor.self, err, &s->tokens, s->begins, s->ends));
  }
  q->segments = 0;
  q->text.count -= q->open;
  if (q->text.count > 0) memmove(q->text.bytes, q->text.bytes + q->open, q->text.count);
  q->open = 0;
  return RN_OK;
}

/* Turns the first `count` bytes of the open segment into a complete segment; the rest becomes the
 * open segment. */
static rn_status complete(rn_err *err, rn_encode_queue *q, size_t count, bool ends) {
  segment *s = &q->segment[q->segments++];
  s->offset = q->open;
  s->count = count;
  s->begins = q->begins;
  s->ends = ends;
  q->open += count;
  q->begins = ends;
  q->next_try = SEGMENT_BYTES;
  const size_t batch = (size_t)BATCH_BYTES * (size_t)q->threads;
  return q->segments == SEGMENTS || q->open >= batch ? rn_encode_queue_flush(err, q) : RN_OK;
}

/* Cuts the open segment if it is long. If it cannot be cut anywhere, the next attempt is made when
 * it has twice the size. */
static rn_status cut_open(rn_err *err, rn_encode_queue *q) {
  const size_t length = q->text.count - q->open;
  if (length < q->next_try || !q->may_cut) return RN_OK;
  const size_t cut = rn_tokenizer_cut(q->tokenizer, q->text.bytes + q->open, length);
  if (cut > 0) return complete(err, q, cut, false);
  q->next_try = 2 * length;
  return RN_OK;
}

/* Fails if the open segment, which could not be cut, would exceed the limit. */
static rn_status check_size(rn_err *err, const rn_encode_queue *q, const char *name, size_t count) {
  if (count <= q->max_bytes - (q->text.count - q->open)) return RN_OK;
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s: the document contains a run of more than %zu bytes that tokenizer %s must encode "
      "as a whole%s; divide it into several documents",
      name, q->max_bytes, q->tokenizer->name,
      q->may_cut ? "" : ", because a token of --special-tokens contains white space");
}

rn_status rn_encode_queue_add(rn_err *err, rn_encode_queue *q, const char *name, const char *bytes,
                              size_t count, bool ends) {
  for (size_t at = 0; at < count;) {
    const size_t piece = count - at < SEGMENT_BYTES ? count - at : SEGMENT_BYTES;
    RN_TRY(err, check_size(err, q, name, piece));
    RN_TRY(err, rn_text_add(err, &q->text, bytes + at, piece));
    RN_TRY(err, cut_open(err, q));
    at += piece;
  }
  return ends ? complete(err, q, q->text.count - q->open, true) : RN_OK;
}
