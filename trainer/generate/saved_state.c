#include "trainer/generate/saved_state.h"

#include <stdlib.h>

#include "data/state/state_file.h"
#include "model/stage/stage.h"

/* FRAME_BYTES: bytes of the state that are compressed as one frame. PROMPT_TOKENS: when a state is
 * loaded, memory is reserved for this many further tokens, enough for a short prompt. */
enum { FRAME_BYTES = 1 << 24, PROMPT_TOKENS = 256 };

static rn_status write_state(rn_err *err, rn_generator *g, int sequence, rn_state_writer *writer) {
  char *state = NULL;
  void *saved = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_generator_save(err, g, sequence, &saved, &bytes));
  state = saved;
  rn_status status = RN_OK;
  for (size_t at = 0; status == RN_OK && at < bytes; at += FRAME_BYTES) {
    status = rn_state_writer_add(err, writer, state + at,
                                 bytes - at < FRAME_BYTES ? bytes - at : FRAME_BYTES);
  }
  free(saved);
  return status;
}

rn_status rn_saved_state_write(rn_err *err, rn_generator *g, int sequence, rn_state_owner owner,
                               const char *path) {
  const rn_sequence *s = rn_generator_sequence(g, sequence);
  Retnet__GenerationState message = RETNET__GENERATION_STATE__INIT;
  rn_state_writer writer = {.bytes = 0};
  message.model_hash = owner.model_hash;
  message.tokenizer_hash = owner.tokenizer_hash;
  message.bf16 = owner.bf16;
  message.token = (uint32_t *)s->token;
  message.n_token = (size_t)s->count;
  message.read = (uint64_t)s->read;
  message.draws = (uint64_t)s->draws;
  message.drawn = s->drawn;
  message.ended = s->ended;
  rn_status status = rn_state_writer_open(err, path, &writer);
  if (status == RN_OK) status = write_state(err, g, sequence, &writer);
  if (status == RN_OK) status = rn_state_writer_commit(err, &writer, &message);
  rn_state_writer_close(&writer);
  return status;
}

/* ---- loading ---- */

static rn_status check_owner(rn_err *err, const Retnet__GenerationState *m, rn_state_owner owner,
                             const char *path) {
  if (m->tokenizer_hash != owner.tokenizer_hash) {
    return rn_fail(err, RN_ERR_USAGE, "%s: the state was saved with another tokenizer", path);
  }
  if (m->model_hash != owner.model_hash) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: the state was saved with a model other than %s: its weights or its model "
                   "keys differ",
                   path, rn_ckpt_path(owner.model->ckpt));
  }
  if ((bool)m->bf16 != owner.bf16) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: the state was saved with --precision %s; load it with the same precision",
                   path, m->bf16 ? "bf16" : "fp32");
  }
  return RN_OK;
}

static rn_status check_tokens(rn_err *err, const Retnet__GenerationState *m, const rn_spec *spec,
                              const char *path) {
  for (size_t i = 0; i < m->n_token; i++) {
    if (m->token[i] >= (uint32_t)spec->vocab) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s: token id %u is outside of the vocabulary of %d tokens", path, m->token[i],
                     spec->vocab);
    }
  }
  return RN_OK;
}

static rn_status restore_tokens(rn_err *err, const Retnet__GenerationState *m, rn_sequence *s) {
  RN_TRY(err, rn_sequence_give(err, s, (const int32_t *)m->token, (int64_t)m->n_token));
  s->read = (int64_t)m->read;
  s->draws = (int64_t)m->draws;
  s->drawn = m->drawn;
  s->ended = m->ended;
  return RN_OK;
}

/* Checks that the position in the state equals the number of read tokens in the file's header. */
static rn_status check_position(rn_err *err, const rn_state_reader *reader, const void *state,
                                size_t bytes) {
  const int64_t position = rn_stage_saved_position(state, bytes);
  if (position == (int64_t)reader->message->read) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT,
                 "%s: the state was saved after %lld tokens, but the header of the file says %lld: "
                 "the file is damaged; "
                 "save the state again with --save-state",
                 reader->file.path, (long long)position, (long long)reader->message->read);
}

/* Puts the name of the file before the error message of the decoder. */
static rn_status name_file(rn_err *err, rn_status status, const char *path) {
  const rn_err cause = *err;
  rn_err_clear(err);
  return rn_fail(err, status, "%s: %s", path, cause.text);
}

static rn_status restore_sequence(rn_err *err, rn_generator *g, int sequence,
                                  const rn_state_reader *reader, const void *state, size_t bytes) {
  const rn_status status = rn_generator_load(err, g, sequence, state, bytes);
  if (status != RN_OK) return name_file(err, status, reader->file.path);
  return restore_tokens(err, reader->message, rn_generator_sequence(g, sequence));
}

/* Returns an upper bound of the size of a state after `tokens` tokens. */
static size_t max_state_bytes(const rn_spec *spec, size_t tokens) {
  const size_t retention = (size_t)spec->dim * (size_t)(spec->value_dim / spec->heads);
  size_t elements = 0;
  for (int layer = 0; layer < spec->layers; layer++) {
    elements += rn_spec_attends(spec, layer) ? 2 * tokens * (size_t)spec->dim : retention;
  }
  return sizeof(int64_t) + elements * sizeof(rn_real);
}

static rn_status restore(rn_err *err, rn_generator *g, int sequences, const rn_spec *spec,
                         const rn_state_reader *reader) {
  void *state = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_generator_reserve(err, g, (int64_t)reader->message->n_token + PROMPT_TOKENS));
  RN_TRY(err, rn_state_reader_read(err, reader, max_state_bytes(spec, reader->message->n_token),
                                   &state, &bytes));
  rn_status status = check_position(err, reader, state, bytes);
  for (int i = 0; status == RN_OK && i < sequences; i++) {
    status = restore_sequence(err, g, i, reader, state, bytes);
  }
  free(state);
  return status;
}

rn_status rn_saved_state_load(rn_err *err, rn_generator *g, int sequences, rn_state_owner owner,
                              const char *path) {
  rn_state_reader reader = {.message = NULL};
  RN_TRY(err, rn_state_reader_open(err, path, &reader));
  rn_status status = check_owner(err, reader.message, owner, path);
  if (status == RN_OK) status = check_tokens(err, reader.message, &owner.model->spec, path);
  if (status == RN_OK) status = restore(err, g, sequences, &owner.model->spec, &reader);
  rn_state_reader_close(&reader);
  return status;
}
