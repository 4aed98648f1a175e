/* Fuzzes the reader of saved generation states. The input consists of the number of bytes of the
 * message (u16), the message, and the bytes of the state, which become one frame. The checksums are
 * corrected; a stored size of 0 bytes in the message is replaced by the size of the frame. */
#include <stdlib.h>
#include <string.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "data/state/state_file.h"
#include "tests/fuzz/target.h"

enum { TRAILER_BYTES = 24, MAX_STATE_BYTES = 1 << 20 };

/* Returns a copy of the message in which each frame with a stored size of 0 bytes has the size and
 * checksum of `frame`; an unchanged copy if there is no such frame or `input` is not a message. The
 * caller frees out->data. */
static target_bytes correct_message(target_bytes input, target_bytes frame) {
  target_bytes out = target_copy(input);
  Retnet__GenerationState *m = retnet__generation_state__unpack(NULL, input.count, input.data);
  bool changed = false;
  for (size_t i = 0; m != NULL && i < m->n_frame; i++) {
    if (m->frame[i]->stored_bytes != 0) continue;
    m->frame[i]->stored_bytes = frame.count;
    m->frame[i]->sum = rn_blob_sum(frame.data, frame.count);
    changed = true;
  }
  if (changed) {
    free(out.data);
    out.count = retnet__generation_state__get_packed_size(m);
    out.data = target_memory(out.count);
    retnet__generation_state__pack(m, out.data);
  }
  if (m != NULL) retnet__generation_state__free_unpacked(m, NULL);
  return out;
}

static const char *make_file(target_bytes message, target_bytes frame) {
  const size_t count = frame.count + message.count + TRAILER_BYTES;
  unsigned char *file = target_memory(count), *trailer = file + count - TRAILER_BYTES;
  memcpy(file, frame.data, frame.count);
  memcpy(file + frame.count, message.data, message.count);
  memcpy(trailer, "RNSTATE1", 8);
  rn_put_u64(trailer + 8, message.count);
  rn_put_u64(trailer + 16, rn_blob_sum(message.data, message.count));
  const char *path = target_file(file, count);
  free(file);
  return path;
}

static bool read_state(const char *path) {
  rn_err err = {0};
  rn_state_reader reader = {.message = NULL};
  void *state = NULL;
  size_t bytes = 0;
  if (!target_is_ok(rn_state_reader_open(&err, path, &reader), &err)) return false;
  const bool accepted =
      target_is_ok(rn_state_reader_read(&err, &reader, MAX_STATE_BYTES, &state, &bytes), &err);
  target_require(accepted || strstr(err.text, path) != NULL, "a message names the file");
  free(state);
  rn_state_reader_close(&reader);
  return accepted;
}

bool target_run(const uint8_t *data, size_t bytes) {
  target_bytes input, rest;
  if (!target_split(data, bytes, &input, &rest)) return false;
  target_bytes frame = target_pack(rest), message = correct_message(input, frame);
  const char *path = make_file(message, frame);
  free(message.data);
  free(frame.data);
  return read_state(path);
}
