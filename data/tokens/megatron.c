#include "data/tokens/megatron.h"

#include <string.h>

#include "data/file/little_endian.h"

enum { MAGIC_BYTES = 9, FAIRSEQ_HEADER_BYTES = 26, HEADER_BYTES = 34 };
static const unsigned char magic[MAGIC_BYTES] = "MMIDIDX\0";
static const unsigned char old_magic[8] = "TNTIDX\0";
enum { MAGIC_WORD_BYTES = 6 }; /* number of bytes of the magic that suffice to recognise an index */

/* The two files of a data set, and the arrays of its index. */
typedef struct megatron {
  const rn_file *index, *data;
  int64_t sequences, documents; /* numbers of sequences and documents; documents is -1 if the index
                                   does not list them */
  int64_t lengths_at, offsets_at, starts_at; /* byte offsets of the arrays */
  rn_window lengths, offsets, starts;
  int64_t data_end; /* largest end offset of the sequences so far, in bytes */
} megatron;

rn_status rn_megatron_detect(rn_err *err, const rn_file *file, bool *is_index) {
  unsigned char head[MAGIC_WORD_BYTES];
  *is_index = false;
  if (file->size_bytes < (int64_t)sizeof head) return RN_OK;
  RN_TRY(err, rn_file_read(err, file, 0, head, sizeof head));
  *is_index = memcmp(head, magic, sizeof head) == 0 || memcmp(head, old_magic, sizeof head) == 0;
  return RN_OK;
}

/* ---- header ---- */

static rn_status find_type(rn_err *err, const rn_file *index, int code, rn_token_type *out) {
  static const rn_token_type types[] = {
      [1] = {1, false}, [2] = {1, true},  [3] = {2, true},  [4] = {4, true},
      [5] = {8, true},  [8] = {2, false}, [9] = {4, false}, [10] = {8, false}};
  if (code == 6 || code == 7) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: its type code %d means floating-point numbers, which are not token ids",
                   index->path, code);
  }
  const bool known = code >= 0 && code < (int)(sizeof types / sizeof types[0]);
  if (!known || types[code].bytes == 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: its type code %d is unknown", index->path, code);
  }
  *out = types[code];
  return RN_OK;
}

static rn_status check_head(rn_err *err, const rn_file *index, const unsigned char *head) {
  if (memcmp(head, old_magic, sizeof old_magic) == 0) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s has the older TNTIDX format, which is not supported; make the data again "
                   "with Megatron-LM's tools/preprocess_data.py (--dataset-impl mmap)",
                   index->path);
  }
  if (memcmp(head, magic, MAGIC_BYTES) != 0) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: its magic bytes are not those of a Megatron-LM index (MMIDIDX); if the "
                   ".bin beside it does not belong to Megatron-LM, give its --format",
                   index->path);
  }
  if (rn_get_u64(head + MAGIC_BYTES) != 1) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: version %llu of the index is unknown; only version 1 is supported",
                   index->path, (unsigned long long)rn_get_u64(head + MAGIC_BYTES));
  }
  return RN_OK;
}

/*
 * Sets the offsets of the arrays. There are three layouts, which only the size of the file
 * distinguishes: fairseq, Megatron-LM, and Megatron-LM with modes. Counts are limited before they
 * are multiplied.
 */
static rn_status find_arrays(rn_err *err, megatron *m, const unsigned char *head) {
  const uint64_t size = (uint64_t)m->index->size_bytes;
  const uint64_t s = rn_get_u64(head + 18), d = rn_get_u64(head + 26);
  const bool s_fits = s <= size / 12, d_fits = d >= 1 && d <= size / 8;
  const uint64_t whole = s_fits && d_fits ? HEADER_BYTES + 12 * s + 8 * d : 0;
  const bool documents = whole > 0 && (size == whole || size == whole + s);
  if (!documents && !(s_fits && size == FAIRSEQ_HEADER_BYTES + 12 * s)) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s is truncated or damaged: its %llu bytes are not the size of an index with %llu "
        "sequences and %llu document indices, as its header states",
        m->index->path, (unsigned long long)size, (unsigned long long)s, (unsigned long long)d);
  }
  m->sequences = (int64_t)s;
  m->documents = documents ? (int64_t)d - 1 : -1;
  m->lengths_at = documents ? HEADER_BYTES : FAIRSEQ_HEADER_BYTES;
  m->offsets_at = m->lengths_at + 4 * m->sequences;
  m->starts_at = m->offsets_at + 8 * m->sequences;
  return RN_OK;
}

static rn_status read_header(rn_err *err, megatron *m, rn_token_type *type) {
  unsigned char head[HEADER_BYTES] = {0};
  const int64_t size = m->index->size_bytes;
  if (size < FAIRSEQ_HEADER_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s is too short: it has %lld bytes, fewer than the header of an index",
                   m->index->path, (long long)size);
  }
  const size_t bytes = size < HEADER_BYTES ? (size_t)size : HEADER_BYTES;
  RN_TRY(err, rn_file_read(err, m->index, 0, head, bytes));
  RN_TRY(err, check_head(err, m->index, head));
  RN_TRY(err, find_type(err, m->index, head[17], type));
  return find_arrays(err, m, head);
}

/* ---- arrays ---- */

static rn_status get_integer(rn_err *err, rn_window *window, int64_t offset, int bytes,
                             int64_t *out) {
  const unsigned char *stored = NULL;
  RN_TRY(err, rn_window_get(err, window, offset, (size_t)bytes, &stored));
  *out = bytes == 4 ? (int32_t)rn_get_u32(stored) : (int64_t)rn_get_u64(stored);
  return RN_OK;
}

/* Visits the tokens of a sequence; *out receives their number. */
static rn_status visit_sequence(rn_err *err, megatron *m, int64_t i, rn_token_reader *r,
                                int64_t *out) {
  int64_t length = 0, offset = 0;
  RN_TRY(err, get_integer(err, &m->lengths, m->lengths_at + 4 * i, 4, &length));
  RN_TRY(err, get_integer(err, &m->offsets, m->offsets_at + 8 * i, 8, &offset));
  const int64_t bytes = length * r->type.bytes, size = m->data->size_bytes;
  if (length < 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the length of sequence %lld is negative: %lld",
                   m->index->path, (long long)i, (long long)length);
  }
  if (offset < 0 || bytes > size || offset > size - bytes) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s: sequence %lld has %lld tokens from byte %lld on, but %s has only %lld bytes; one "
        "of the two files is truncated, or they do not belong together",
        m->index->path, (long long)i, (long long)length, (long long)offset, m->data->path,
        (long long)size);
  }
  if (offset + bytes > m->data_end) m->data_end = offset + bytes;
  *out = length;
  return rn_token_reader_read(err, r, offset, length);
}

/* Visits sequences [first, last) as one document, which is empty if the sequences have no
 * tokens. */
static rn_status visit_document(rn_err *err, megatron *m, int64_t first, int64_t last,
                                rn_token_reader *r) {
  int64_t tokens = 0, length = 0;
  for (int64_t i = first; i < last; i++) {
    RN_TRY(err, visit_sequence(err, m, i, r, &length));
    tokens += length;
  }
  if (tokens == 0) RN_TRY(err, rn_token_reader_begin(err, r));
  r->open = false;
  return RN_OK;
}

static rn_status get_start(rn_err *err, megatron *m, int64_t i, int64_t *out) {
  if (m->documents < 0) {
    *out = i;
    return RN_OK;
  }
  return get_integer(err, &m->starts, m->starts_at + 8 * i, 8, out);
}

static rn_status bad_start(rn_err *err, const megatron *m, int64_t i, int64_t start) {
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s is damaged: document index %lld is %lld, but the document indices must rise from 0 "
      "to the number of sequences, %lld",
      m->index->path, (long long)i, (long long)start, (long long)m->sequences);
}

static rn_status visit_documents(rn_err *err, megatron *m, rn_token_reader *r) {
  const int64_t documents = m->documents >= 0 ? m->documents : m->sequences;
  int64_t first = 0, last = 0;
  RN_TRY(err, get_start(err, m, 0, &first));
  if (first != 0) return bad_start(err, m, 0, first);
  for (int64_t i = 1; i <= documents; i++) {
    RN_TRY(err, get_start(err, m, i, &last));
    if (last < first || last > m->sequences) return bad_start(err, m, i, last);
    RN_TRY(err, visit_document(err, m, first, last, r));
    first = last;
  }
  return first == m->sequences ? RN_OK : bad_start(err, m, documents, first);
}

static rn_status read_all(rn_err *err, megatron *m, rn_token_reader *r) {
  RN_TRY(err, read_header(err, m, &r->type));
  RN_TRY(err, rn_window_create(err, m->index, &m->lengths));
  RN_TRY(err, rn_window_create(err, m->index, &m->offsets));
  RN_TRY(err, rn_window_create(err, m->index, &m->starts));
  RN_TRY(err, visit_documents(err, m, r));
  if (m->data_end == m->data->size_bytes) return RN_OK;
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s has %lld bytes, but the sequences of %s end at byte %lld; the two files do not "
      "belong together",
      m->data->path, (long long)m->data->size_bytes, m->index->path, (long long)m->data_end);
}

rn_status rn_megatron_read(rn_err *err, const rn_file *index, const rn_file *data,
                           rn_token_reader *r) {
  megatron m = {.index = index, .data = data};
  r->rules.separator_is_first = false;
  const rn_status status = read_all(err, &m, r);
  rn_window_destroy(&m.lengths);
  rn_window_destroy(&m.offsets);
  rn_window_destroy(&m.starts);
  return status;
}
