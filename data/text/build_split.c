#include "data/text/build_split.h"

#include "proto/base/random.h"

static rn_status put_document(rn_err *err, rn_build_split *s, rn_shard_writer *writer) {
  int64_t *count = writer == s->val ? &s->val_tokens : &s->train_tokens;
  *count += 1;
  return rn_shard_append(err, writer, &s->document_token, 1, 0);
}

/* Appends tokens [from, to), at most RUN tokens per call of rn_shard_append. If the tokens of a
 * call span two blocks, rn_shard_append divides their text bytes in proportion to the tokens. This
 * is inexact; calls with few tokens keep the error small. */
static rn_status put(rn_err *err, rn_build_split *s, rn_shard_writer *writer,
                     const rn_tokens *tokens, size_t from, size_t to) {
  enum { RUN = 4096 };
  int64_t *count = writer == s->val ? &s->val_tokens : &s->train_tokens;
  *count += (int64_t)(to - from);
  for (size_t at = from; at < to;) {
    const size_t run = to - at < RUN ? to - at : RUN;
    int64_t text = 0;
    for (size_t i = 0; i < run; i++) text += tokens->text_bytes[at + i];
    RN_TRY(err, rn_shard_append(err, writer, tokens->id + at, (int64_t)run, text));
    at += run;
  }
  return RN_OK;
}

/* Returns the writer of the split to which a document belongs. Valid only if there are at least
 * RN_FEW_DOCUMENTS documents. */
static rn_shard_writer *writer_of(const rn_build_split *s, int64_t document) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_SPLIT, 0, "val");
  return rn_random_uniform(key, (uint64_t)document) < s->val_fraction ? s->val : s->train;
}

/* Returns the end (exclusive) of the document's entries in the spool: the first entry of the next
 * document. */
static int64_t end_of(const rn_build_split *s, int64_t document, int64_t documents) {
  return document + 1 < documents ? s->first[document + 1] : s->spool.count;
}

static rn_status replay_whole(rn_err *err, rn_build_split *s, int64_t document, int64_t documents,
                              rn_tokens *tokens) {
  rn_shard_writer *writer = writer_of(s, document);
  RN_TRY(err, put_document(err, s, writer));
  for (int64_t e = s->first[document]; e < end_of(s, document, documents); e++) {
    RN_TRY(err, rn_spool_get(err, &s->spool, (int)e, tokens));
    RN_TRY(err, put(err, s, writer, tokens, 0, tokens->count));
  }
  return RN_OK;
}

/* Writes the first part of a document's tokens to train and the last part to val. Used if there are
 * fewer than RN_FEW_DOCUMENTS documents. */
static rn_status replay_parts(rn_err *err, rn_build_split *s, int64_t document, int64_t documents,
                              rn_tokens *tokens) {
  const int64_t val = (int64_t)((double)s->tokens[document] * s->val_fraction);
  int64_t left = s->tokens[document] - val;
  RN_TRY(err, put_document(err, s, s->train));
  if (left == 0 && val > 0) RN_TRY(err, put_document(err, s, s->val));
  for (int64_t e = s->first[document]; e < end_of(s, document, documents); e++) {
    RN_TRY(err, rn_spool_get(err, &s->spool, (int)e, tokens));
    const size_t cut = (int64_t)tokens->count < left ? tokens->count : (size_t)left;
    RN_TRY(err, put(err, s, s->train, tokens, 0, cut));
    if (cut > 0 && (left -= (int64_t)cut) == 0 && val > 0) {
      RN_TRY(err, put_document(err, s, s->val));
    }
    RN_TRY(err, put(err, s, s->val, tokens, cut, tokens->count));
  }
  return RN_OK;
}

static rn_status replay(rn_err *err, rn_build_split *s, int64_t documents) {
  rn_tokens tokens = {0};
  rn_status status = RN_OK;
  for (int64_t i = 0; status == RN_OK && i < documents; i++) {
    status = s->documents >= RN_FEW_DOCUMENTS ? replay_whole(err, s, i, documents, &tokens)
                                              : replay_parts(err, s, i, documents, &tokens);
  }
  rn_tokens_free(&tokens);
  rn_spool_close(&s->spool);
  return status;
}

rn_status rn_build_split_add(rn_err *err, rn_build_split *s, const rn_tokens *tokens, bool begins) {
  if (begins && ++s->documents == RN_FEW_DOCUMENTS) {
    RN_TRY(err, replay(err, s, RN_FEW_DOCUMENTS - 1));
  }
  const int64_t document = s->documents - 1;
  if (s->documents < RN_FEW_DOCUMENTS) {
    if (begins) s->first[document] = s->spool.count;
    s->tokens[document] += (int64_t)tokens->count;
    return tokens->count > 0 ? rn_spool_add(err, &s->spool, tokens) : RN_OK;
  }
  rn_shard_writer *writer = writer_of(s, document);
  if (begins) RN_TRY(err, put_document(err, s, writer));
  return put(err, s, writer, tokens, 0, tokens->count);
}

static rn_status open_shard(rn_err *err, const char *folder, const char *name, rn_shard_kind kind,
                            rn_shard_writer **out) {
  const rn_path path = rn_path_join(folder, name);
  RN_TRY(err, rn_file_make_folder(err, path.text));
  return rn_shard_writer_create(err, rn_path_join(path.text, "00000.rtd").text, kind, out);
}

rn_status rn_build_split_open(rn_err *err, const char *folder, rn_shard_kind kind,
                              double val_fraction, rn_build_split *s) {
  *s = (rn_build_split){.val_fraction = val_fraction, .document_token = kind.document_token};
  RN_TRY(err, open_shard(err, folder, "train", kind, &s->train));
  RN_TRY(err, open_shard(err, folder, "val", kind, &s->val));
  return rn_spool_open(err, rn_path_join(folder, "first_documents").text, &s->spool);
}

static rn_status close_shard(rn_err *err, rn_build_split *s, rn_shard_writer **writer) {
  RN_TRY(err, put_document(err, s, *writer));
  return rn_shard_finish(err, writer);
}

rn_status rn_build_split_finish(rn_err *err, rn_build_split *s, const char *folder) {
  if (s->documents < RN_FEW_DOCUMENTS) RN_TRY(err, replay(err, s, s->documents));
  RN_TRY(err, close_shard(err, s, &s->train));
  if (s->val_tokens > 0) return close_shard(err, s, &s->val);
  rn_shard_abandon(&s->val);
  return rn_file_remove_tree(err, rn_path_join(folder, "val").text);
}

void rn_build_split_close(rn_build_split *s) {
  rn_shard_abandon(&s->train);
  rn_shard_abandon(&s->val);
  rn_spool_close(&s->spool);
}
