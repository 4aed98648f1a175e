#include "data/state/state_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "data/file/message.h"
#include "data/file/temporary_name.h"
#include "proto/base/arena.h"

enum {
  FORMAT = 1,
  MAGIC_BYTES = 8,
  TRAILER_BYTES = 24,
  MAX_MESSAGE_BYTES = 1 << 30,
  MAX_FRAME_BYTES = 1 << 26,
  LEVEL = 1
};

static const char magic[MAGIC_BYTES + 1] = "RNSTATE1";

static void make_trailer(const unsigned char *message, size_t bytes, unsigned char *out) {
  memcpy(out, magic, MAGIC_BYTES);
  rn_put_u64(out + 8, bytes);
  rn_put_u64(out + 16, rn_blob_sum(message, bytes));
}

/* ---- writing ---- */

rn_status rn_state_writer_open(rn_err *err, const char *path, rn_state_writer *out) {
  rn_path begin;
  *out = (rn_state_writer){.bytes = 0};
  RN_TRY(err, rn_file_resolve_symlink(err, path, &out->path));
  RN_TRY(err, rn_file_check_target(err, out->path.text));
  snprintf(begin.text, sizeof begin.text, "%.*s.", RN_PATH_BYTES - 64, out->path.text);
  rn_temporary_remove_left(begin.text, ".tmp");
  return rn_file_create(err, rn_temporary_name(begin.text, ".tmp").text, &out->file);
}

rn_status rn_state_writer_add(rn_err *err, rn_state_writer *w, const void *data, size_t bytes) {
  rn_blob_extent extent;
  RN_TRY(err, rn_grow(err, "frames of a state file", w->frames + 1, sizeof *w->frame, &w->frame,
                      &w->capacity));
  RN_TRY(err, rn_blob_write(err, &w->file, w->bytes, (rn_bytes){data, bytes}, LEVEL, &extent));
  Retnet__StateFrame *frame = &w->frame[w->frames++];
  *frame = (Retnet__StateFrame)RETNET__STATE_FRAME__INIT;
  frame->bytes = bytes;
  frame->stored_bytes = (uint64_t)extent.stored_bytes;
  frame->sum = extent.sum;
  w->bytes += extent.stored_bytes;
  return RN_OK;
}

/* Packs the message with its trailer. */
static rn_status pack(rn_err *err, const Retnet__GenerationState *message, unsigned char **out,
                      size_t *bytes) {
  const size_t length = retnet__generation_state__get_packed_size(message);
  *out = malloc(length + TRAILER_BYTES);
  if (*out == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while saving a state");
  retnet__generation_state__pack(message, *out);
  make_trailer(*out, length, *out + length);
  *bytes = length + TRAILER_BYTES;
  return RN_OK;
}

static rn_status write_message(rn_err *err, const rn_state_writer *w,
                               Retnet__GenerationState *message) {
  unsigned char *packed = NULL;
  size_t bytes = 0;
  Retnet__StateFrame **list = malloc((w->frames + 1) * sizeof *list);
  if (list == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while saving a state");
  for (size_t i = 0; i < w->frames; i++) list[i] = &w->frame[i];
  message->format = FORMAT;
  message->frame = list;
  message->n_frame = w->frames;
  rn_status status = pack(err, message, &packed, &bytes);
  if (status == RN_OK) status = rn_file_write(err, &w->file, w->bytes, packed, bytes);
  free(packed);
  free(list);
  return status;
}

rn_status rn_state_writer_commit(rn_err *err, rn_state_writer *w,
                                 const Retnet__GenerationState *message) {
  Retnet__GenerationState copy = *message;
  RN_TRY(err, write_message(err, w, &copy));
  return rn_file_publish(err, &w->file, w->path.text);
}

void rn_state_writer_close(rn_state_writer *w) {
  if (w->file.path != NULL) (void)unlink(w->file.path);
  rn_file_destroy(&w->file);
  free(w->frame);
  *w = (rn_state_writer){.bytes = 0};
}

/* ---- reading ---- */

static rn_status damaged(rn_err *err, const rn_state_reader *r, const char *what) {
  return rn_fail(err, RN_ERR_FORMAT, "%s: %s; save the state again with --save-state", r->file.path,
                 what);
}

/* Reads the trailer at the end of the file, then the message that precedes it. */
static rn_status read_message(rn_err *err, rn_state_reader *r) {
  unsigned char trailer[TRAILER_BYTES], want[TRAILER_BYTES];
  const int64_t before = r->file.size_bytes - TRAILER_BYTES;
  if (before < 0) return damaged(err, r, "not a state file, or truncated");
  RN_TRY(err, rn_file_read(err, &r->file, before, trailer, TRAILER_BYTES));
  const uint64_t bytes = rn_get_u64(trailer + 8);
  if (memcmp(trailer, magic, MAGIC_BYTES) != 0 || bytes > (uint64_t)before ||
      bytes > MAX_MESSAGE_BYTES) {
    return damaged(err, r, "not a state file, or truncated");
  }
  unsigned char *packed = malloc((size_t)bytes + 1);
  if (packed == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", r->file.path);
  rn_status status = rn_file_read(err, &r->file, before - (int64_t)bytes, packed, (size_t)bytes);
  make_trailer(packed, (size_t)bytes, want);
  if (status == RN_OK && memcmp(trailer, want, TRAILER_BYTES) != 0)
    status = damaged(err, r, "damaged: the checksum of its message does not match");
  if (status == RN_OK) {
    status = rn_message_unpack(err, r->file.path, "not a state file",
                               &retnet__generation_state__descriptor,
                               (rn_bytes){packed, (size_t)bytes}, &r->message);
  }
  free(packed);
  return status;
}

/* True if the frames fill the file up to the message and none exceeds the maximum size of a
 * frame. */
static bool frames_fit(const rn_state_reader *r) {
  const Retnet__GenerationState *m = r->message;
  uint64_t left =
      (uint64_t)r->file.size_bytes - TRAILER_BYTES - retnet__generation_state__get_packed_size(m);
  for (size_t i = 0; i < m->n_frame; i++) {
    if (m->frame[i]->stored_bytes > left || m->frame[i]->bytes > MAX_FRAME_BYTES) return false;
    left -= m->frame[i]->stored_bytes;
  }
  return left == 0;
}

static bool counts_fit(const Retnet__GenerationState *m) {
  if (m->read >= m->n_token || m->draws > m->n_token) return false;
  if (m->ended && !m->drawn) return false;
  return !m->drawn || (m->read == m->n_token - 1 && m->draws > 0);
}

static rn_status check_message(rn_err *err, const rn_state_reader *r) {
  if (r->message->format > FORMAT) {
    return rn_fail(err, RN_ERR_MISMATCH,
                   "%s has format %u of a later version; this version reads formats up to %d",
                   r->file.path, r->message->format, FORMAT);
  }
  if (frames_fit(r) && counts_fit(r->message)) return RN_OK;
  return damaged(err, r, "damaged: its frame sizes or token counts are inconsistent");
}

rn_status rn_state_reader_open(rn_err *err, const char *path, rn_state_reader *out) {
  *out = (rn_state_reader){.message = NULL};
  RN_TRY(err, rn_file_open(err, path, &out->file));
  rn_status status = read_message(err, out);
  if (status == RN_OK) status = check_message(err, out);
  if (status != RN_OK) rn_state_reader_close(out);
  return status;
}

/* Reads frame `index`, which begins at `offset` of the file. */
static rn_status read_frame(rn_err *err, const rn_state_reader *r, size_t index, int64_t offset,
                            void *out) {
  const Retnet__StateFrame *frame = r->message->frame[index];
  const rn_blob_extent extent = {offset, (int64_t)frame->stored_bytes, frame->sum};
  void *stored = NULL;
  RN_TRY(err, rn_blob_fetch(err, &r->file, extent, &stored));
  const rn_status status = rn_blob_unpack(err, r->file.path, stored, (size_t)frame->stored_bytes,
                                          out, (size_t)frame->bytes);
  free(stored);
  return status;
}

rn_status rn_state_reader_read(rn_err *err, const rn_state_reader *r, size_t max_bytes,
                               void **state, size_t *bytes) {
  const Retnet__GenerationState *m = r->message;
  size_t at = 0;
  int64_t offset = 0;
  *bytes = 0;
  *state = NULL;
  for (size_t i = 0; i < m->n_frame; i++) *bytes += (size_t)m->frame[i]->bytes;
  if (*bytes > max_bytes)
    return damaged(err, r, "damaged: its state is larger than a state of this model can be");
  char *all = malloc(*bytes > 0 ? *bytes : 1);
  if (all == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", r->file.path);
  rn_status status = RN_OK;
  for (size_t i = 0; status == RN_OK && i < m->n_frame; i++) {
    status = read_frame(err, r, i, offset, all + at);
    at += (size_t)m->frame[i]->bytes;
    offset += (int64_t)m->frame[i]->stored_bytes;
  }
  if (status == RN_OK) *state = all;
  if (status != RN_OK) free(all);
  return status;
}

void rn_state_reader_close(rn_state_reader *r) {
  if (r->message != NULL) retnet__generation_state__free_unpacked(r->message, NULL);
  rn_file_destroy(&r->file);
  *r = (rn_state_reader){.message = NULL};
}
