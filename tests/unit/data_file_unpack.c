/* Checks that a compressed stream gives the same bytes whatever the lengths of the pieces in which
 * it is passed, and that truncated or damaged streams are refused. */
#include "data/file/unpack.h"

#include <string.h>
#include <zlib.h>

#include "tests/support/check.h"

enum { PLAIN = 300000, STORED = 1 << 19 };

static rn_err err;
static unsigned char plain[PLAIN], stored[STORED];

/* `count` is the number of unpacked bytes so far; `equal` is true if they equal the first `count`
 * bytes of `plain` written repeatedly. */
typedef struct output {
  size_t count;
  bool equal;
} output;

static rn_status take(void *self, rn_err *unused, const char *bytes, size_t count) {
  output *out = self;
  (void)unused;
  for (size_t i = 0; i < count; i++) {
    out->equal = out->equal && (unsigned char)bytes[i] == plain[(out->count + i) % PLAIN];
  }
  out->count += count;
  return RN_OK;
}

/* Compresses `plain` into a gzip member, which is written to `stored` from offset `at` on; returns
 * the offset of the end of the member. */
static size_t add_member(size_t at) {
  z_stream z = {0};
  CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = plain;
  z.avail_in = PLAIN;
  z.next_out = stored + at;
  z.avail_out = (unsigned)(STORED - at);
  CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
  const size_t end = at + z.total_out;
  deflateEnd(&z);
  return end;
}

static rn_status unpack(size_t count, size_t piece, output *out) {
  rn_unpack *u = NULL;
  *out = (output){.equal = true};
  rn_status status = rn_unpack_create(&err, "a.gz", RN_PACKING_GZIP, &u);
  for (size_t at = 0; status == RN_OK && at < count; at += piece) {
    const size_t bytes = count - at < piece ? count - at : piece;
    status = rn_unpack_add(&err, u, (const char *)stored + at, bytes, take, out);
  }
  if (status == RN_OK) status = rn_unpack_finish(&err, u);
  rn_unpack_destroy(&u);
  return status;
}

int main(void) {
  output out;
  for (int i = 0; i < PLAIN; i++)
    plain[i] = (unsigned char)(i < PLAIN / 2 ? (unsigned)i * (unsigned)i >> 7 : (unsigned)97);
  const size_t first = add_member(0), both = add_member(first);
  const size_t pieces[] = {STORED, 1, 1000, first, first + 1};
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    CHECK_OK(&err, unpack(both, pieces[i], &out));
    CHECK(out.equal);
    CHECK_EQUAL(out.count, 2 * PLAIN);
  }
  CHECK_FAILS(&err, RN_ERR_FORMAT, "a.gz|truncated", unpack(both - 1, 999, &out));
  CHECK_FAILS(&err, RN_ERR_FORMAT, "a.gz|truncated", unpack(first + 5, 999, &out));
  CHECK_OK(&err, unpack(both + 100, 7, &out)); /* zeros after the last member are padding */
  stored[both + 99] = 1;
  CHECK_FAILS(&err, RN_ERR_FORMAT, "a.gz|damaged", unpack(both + 100, 7, &out));
  stored[first / 2] ^= 0x40;
  CHECK_FAILS(&err, RN_ERR_FORMAT, "a.gz|damaged", unpack(both, 5000, &out));
  CHECK_EQUAL(rn_packing_of("a/B.TXT.GZ"), RN_PACKING_GZIP);
  CHECK(strcmp(rn_packing_removed("a/B.TXT.GZ").text, "a/B.TXT") == 0);
  CHECK(strcmp(rn_packing_removed("a/b.zst").text, "a/b") == 0);
  CHECK(strcmp(rn_packing_removed("gz").text, "gz") == 0);
  return check_result();
}
