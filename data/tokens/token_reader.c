#include "data/tokens/token_reader.h"

#include <stdlib.h>

#include "data/file/little_endian.h"
#include "proto/base/arena.h"

enum { PIECE_TOKENS = RN_WINDOW_BYTES / 8 };

rn_status rn_token_reader_create(rn_err *err, const rn_file *file, rn_token_reader *r) {
  RN_TRY(err, rn_window_create(err, file, &r->data));
  return rn_alloc(err, "token ids", PIECE_TOKENS, sizeof *r->id, &r->id);
}

void rn_token_reader_destroy(rn_token_reader *r) {
  rn_window_destroy(&r->data);
  free(r->id);
  r->id = NULL;
}

static rn_status outside(rn_err *err, const rn_token_reader *r, int64_t offset, uint64_t stored) {
  const long long index = (long long)(offset - r->first_byte) / r->type.bytes;
  const int shift = 64 - 8 * r->type.bytes;
  const char *advice =
      "give the --tokenizer with which the file was made, or --vocab-size if there is none";
  if (r->type.is_signed && stored << shift >> 63 != 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: token %lld (counted from 0) is negative: %lld",
                   r->data.file->path, index, (long long)((int64_t)(stored << shift) >> shift));
  }
  if (stored < (uint64_t)r->rules.vocabulary) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: token %lld (counted from 0) is %llu, but no token of %s has this id; %s",
                   r->data.file->path, index, (unsigned long long)stored, r->rules.tokenizer,
                   advice);
  }
  return rn_fail(err, RN_ERR_FORMAT,
                 "%s: token %lld (counted from 0) is %llu, but the vocabulary of %s has %d ids; %s",
                 r->data.file->path, index, (unsigned long long)stored, r->rules.tokenizer,
                 r->rules.vocabulary, advice);
}

/* True if a token has this id, or if the id is the separator, which need not be a token. */
static bool is_known(const rn_token_rules *rules, int32_t id) {
  return rules->has == NULL || id == rules->separator || rules->has(rules->self, id);
}

/* Converts the integers in `stored`, which are from byte `offset` of the file, to ids; checks that
 * they are within the vocabulary. */
static rn_status convert(rn_err *err, const rn_token_reader *r, int64_t offset,
                         const unsigned char *stored, size_t count) {
  const size_t bytes = (size_t)r->type.bytes;
  for (size_t i = 0; i < count; i++) {
    const uint64_t value = rn_get_bytes(stored + i * bytes, r->type.bytes);
    const bool negative = r->type.is_signed && value >> (8 * bytes - 1) != 0;
    if (negative || value >= (uint64_t)r->rules.vocabulary ||
        !is_known(&r->rules, (int32_t)value)) {
      return outside(err, r, offset + (int64_t)(i * bytes), value);
    }
    r->id[i] = (int32_t)value;
  }
  return RN_OK;
}

/* Passes a sequence of ids without separators to the visitor. */
static rn_status visit_run(rn_err *err, rn_token_reader *r, const int32_t *id, size_t count) {
  const bool begins = !r->open;
  if (count == 0) return RN_OK;
  r->open = true;
  return r->visitor.visit(r->visitor.self, err, id, count, begins);
}

rn_status rn_token_reader_begin(rn_err *err, rn_token_reader *r) {
  r->open = true;
  return r->visitor.visit(r->visitor.self, err, NULL, 0, true);
}

/* Handles a separator. If separators end documents and no document is open, the separator
 * represents an empty document. */
static rn_status visit_separator(rn_err *err, rn_token_reader *r) {
  if (r->rules.separator_is_first) return rn_token_reader_begin(err, r);
  if (!r->open) RN_TRY(err, rn_token_reader_begin(err, r));
  r->open = false;
  return RN_OK;
}

static rn_status visit_ids(rn_err *err, rn_token_reader *r, size_t count) {
  size_t from = 0;
  for (size_t i = 0; i < count; i++) {
    if (r->id[i] != r->rules.separator && r->id[i] != r->rules.document) continue;
    RN_TRY(err, visit_run(err, r, r->id + from, i - from));
    RN_TRY(err, visit_separator(err, r));
    from = i + 1;
  }
  return visit_run(err, r, r->id + from, count - from);
}

rn_status rn_token_reader_read(rn_err *err, rn_token_reader *r, int64_t offset, int64_t count) {
  for (int64_t left = count; left > 0;) {
    const size_t piece = left < PIECE_TOKENS ? (size_t)left : PIECE_TOKENS;
    const size_t bytes = piece * (size_t)r->type.bytes;
    const unsigned char *stored = NULL;
    RN_TRY(err, rn_window_get(err, &r->data, offset, bytes, &stored));
    RN_TRY(err, convert(err, r, offset, stored, piece));
    *r->visitor.read_bytes += (int64_t)bytes;
    RN_TRY(err, visit_ids(err, r, piece));
    offset += (int64_t)bytes;
    left -= (int64_t)piece;
  }
  return RN_OK;
}
