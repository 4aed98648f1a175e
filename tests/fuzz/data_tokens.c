/* Checks that token files with arbitrary bytes in header, index or tokens are either read or
 * refused with a message that names the file, and that all ids read are in the vocabulary. */
#include <stdio.h>
#include <string.h>

#include "data/file/little_endian.h"
#include "data/tokens/token_file.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { ROUNDS = 1000, MAX_BYTES = 4096, VOCABULARY = 300, TOKENS = 12 };

static rn_err *err = &(rn_err){0};

/* The bytes of a valid file, from which damaged files are made. */
typedef struct sample {
  unsigned char bytes[MAX_BYTES];
  size_t count;
} sample;

static sample llmc_sample(void) {
  sample s = {.count = 1024 + 2 * TOKENS};
  rn_put_u32(s.bytes, 20240520);
  rn_put_u32(s.bytes + 4, 1);
  rn_put_u32(s.bytes + 8, TOKENS);
  for (int i = 0; i < TOKENS; i++) rn_put_bytes(s.bytes + 1024 + 2 * i, (uint64_t)i * 20, 2);
  return s;
}

/* Returns an index file for three sequences of four u16 tokens each, in two documents. */
static sample index_sample(void) {
  sample s = {.count = 34 + 3 * 12 + 3 * 8};
  memcpy(s.bytes, "MMIDIDX\0", 9);
  rn_put_u64(s.bytes + 9, 1);
  s.bytes[17] = 8;
  rn_put_u64(s.bytes + 18, 3);
  rn_put_u64(s.bytes + 26, 3);
  for (int i = 0; i < 3; i++) rn_put_u32(s.bytes + 34 + 4 * i, 4);
  for (uint64_t i = 0; i < 3; i++) rn_put_u64(s.bytes + 46 + 8 * i, 8 * i);
  rn_put_u64(s.bytes + 78, 2);
  rn_put_u64(s.bytes + 86, 3);
  return s;
}

static void write(const char *path, const unsigned char *bytes, size_t count) {
  rn_file file = {0};
  CHECK_OK(err, rn_file_create(err, path, &file));
  CHECK_OK(err, rn_file_write(err, &file, 0, bytes, count));
  CHECK_OK(err, rn_file_close(err, &file));
}

static rn_status see_ids(void *self, rn_err *why, const int32_t *id, size_t count, bool begins) {
  bool *sound = self;
  (void)why;
  (void)begins;
  for (size_t i = 0; i < count; i++) *sound = *sound && 0 <= id[i] && id[i] < VOCABULARY;
  return RN_OK;
}

/* Reads the file. Returns true if all ids are valid and the message of an error, if there is one,
 * contains `stem`. */
static bool survives(const char *path, const char *stem, rn_token_format format) {
  rn_err why = {0};
  bool sound = true;
  int64_t bytes = 0;
  const rn_token_rules rules = {.vocabulary = VOCABULARY, .tokenizer = "test", .separator = 7};
  const rn_status status = rn_token_file_read(&why, path, format, false, &rules,
                                              (rn_token_visitor){see_ids, &sound, &bytes});
  (void)rn_token_file_format(path);
  return sound && (status == RN_OK || strstr(why.text, stem) != NULL);
}

/* Writes mutations of the sample to the file `damaged`, and reads `path` after each write. `path`
 * is `damaged` itself or, if tokens and index are separate files, the file of the tokens. */
static void fuzz(const sample *s, const char *damaged, const char *path, const char *stem,
                 rn_token_format format) {
  static unsigned char work[MAX_BYTES];
  write(damaged, s->bytes, s->count);
  CHECK(survives(path, stem, format));
  for (uint64_t seed = 0; seed < (uint64_t)mutate_rounds(ROUNDS); seed++) {
    memcpy(work, s->bytes, s->count);
    const size_t size = mutate(work, s->count, MAX_BYTES, seed);
    write(damaged, work, size);
    if (!CHECK(survives(path, stem, format))) fprintf(stderr, "%s: seed %d\n", path, (int)seed);
  }
}

int main(void) {
  const char *llmc = temp_path("llmc.bin"), *pair = temp_path("pair.bin");
  const char *index = temp_path("pair.idx");
  const sample header = llmc_sample(), arrays = index_sample();
  sample tokens = {.count = 2 * TOKENS};
  fuzz(&header, llmc, llmc, "llmc.bin", RN_FORMAT_LLMC);
  fuzz(&header, llmc, llmc, "llmc.bin", RN_FORMAT_NANOGPT);
  write(pair, tokens.bytes, tokens.count);
  fuzz(&arrays, index, pair, "pair.", RN_FORMAT_MEGATRON);
  return check_result();
}
