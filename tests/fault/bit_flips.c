/*
 * Checks that a single flipped bit in a file of a data folder, of a checkpoint or of a saved state
 * is either noticed, with a message that names the file, or harmless: then everything that is read
 * is equal to what was written. A run with a flipped bit in its newest checkpoint continues from
 * the older one. Prints the counts for each file.
 *
 * usage: bit_flips [FLIPS]: number of flips, 12000 by default, divided among the files
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/batch/split.h"
#include "data/checkpoint/ckpt.h"
#include "data/file/blob.h"
#include "data/state/state_file.h"
#include "data/text/split_tokenizer.h"
#include "proto/base/random.h"
#include "tests/support/check.h"
#include "tests/support/fake_ckpt.h"
#include "tests/support/temp.h"

enum { MAX_BYTES = 1 << 24, PARTS = 2, OLD = 3, NEW = 5 };

static rn_err *err = &(rn_err){0};
static long long all_flips;

/* Result of reading a file with a flipped bit: an error that names the file (NOTICED), equal
 * contents (HARMLESS), or anything else (MISSED). */
typedef enum verdict { NOTICED, HARMLESS, MISSED, VERDICTS } verdict;

/* A function that reads everything that depends on the file, and compares it with what was
 * written. */
typedef verdict (*reader)(const char *file);

/* True if the message names the file, by its last component. */
static bool names(const char *message, const char *file) {
  const char *slash = strrchr(file, '/');
  return strstr(message, slash != NULL ? slash + 1 : file) != NULL;
}

/* Returns the verdict on a read that ended with `status`. If `status` is RN_OK, `equal` tells
 * whether the contents were equal to what was written. */
static verdict judge(rn_status status, const rn_err *why, const char *file, bool equal) {
  if (status == RN_OK) return equal ? HARMLESS : MISSED;
  return names(why->text, file) ? NOTICED : MISSED;
}

/* ---- flipping ---- */

static void flip(int fd, uint64_t bit) {
  unsigned char byte;
  CHECK_EQUAL(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
  byte ^= (unsigned char)(1 << bit % 8);
  CHECK_EQUAL(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
}

/* Flips `flips` bits, one after the other and spread over the whole file, or every bit if the file
 * has fewer. `strict`: no flip may be harmless. */
static void flip_file(const char *what, const char *file, int64_t flips, bool strict, reader read) {
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, what);
  int64_t count[VERDICTS] = {0};
  const int fd = open(file, O_RDWR);
  const off_t bytes = lseek(fd, 0, SEEK_END);
  if (!CHECK(fd >= 0 && bytes > 0)) return;
  const uint64_t bits = 8 * (uint64_t)bytes;
  if ((uint64_t)flips > bits) flips = (int64_t)bits;
  CHECK_EQUAL(read(file), HARMLESS);
  for (int64_t i = 0; i < flips; i++) {
    const uint64_t first = bits * (uint64_t)i / (uint64_t)flips;
    const uint64_t next = bits * (uint64_t)(i + 1) / (uint64_t)flips;
    const uint64_t bit = first + rn_random_bits(key, (uint64_t)i) % (next - first);
    flip(fd, bit);
    const verdict found = read(file);
    flip(fd, bit);
    count[found]++;
    if (found == MISSED || (strict && found == HARMLESS)) {
      fprintf(stderr, "%s: bit %llu of byte %llu is not noticed\n", what,
              (unsigned long long)(bit % 8), (unsigned long long)(bit / 8));
    }
  }
  CHECK_EQUAL(read(file), HARMLESS);
  all_flips += flips;
  CHECK_EQUAL(count[MISSED], 0);
  if (strict) CHECK_EQUAL(count[HARMLESS], 0);
  close(fd);
  printf("%-34s %7lld bytes %6lld flips: %6lld noticed, %5lld harmless, %lld missed\n", what,
         (long long)bytes, (long long)flips, (long long)count[NOTICED], (long long)count[HARMLESS],
         (long long)count[MISSED]);
}

/* ---- data folders ---- */

enum { SMALL = 100, LARGE = 2 * RN_SHARD_BLOCK_TOKENS + 77 };

static int32_t token(int64_t i) {
  return (int32_t)((i * i + i / 7) % 256);
}

static void write_shard(const char *path, int64_t count, rn_shard_kind kind) {
  int32_t *ids = malloc((size_t)count * sizeof *ids);
  rn_shard_writer *writer = NULL;
  for (int64_t i = 0; i < count; i++) ids[i] = token(i);
  CHECK_OK(err, rn_shard_writer_create(err, path, kind, &writer));
  CHECK_OK(err, rn_shard_append(err, writer, ids, count, count));
  CHECK_OK(err, rn_shard_finish(err, &writer));
  free(ids);
}

static verdict verify_shard(const char *file) {
  rn_err why = {0};
  return judge(rn_shard_verify(&why, file), &why, file, true);
}

/* Reads all tokens as a training run does. */
static verdict read_tokens(const char *file) {
  static int32_t ids[LARGE];
  rn_err why = {0};
  rn_split split;
  bool equal = true;
  rn_status status = rn_split_open(&why, rn_path_folder(file).text, "train", &split);
  if (status != RN_OK) return judge(status, &why, file, false);
  const int64_t count = split.tokens;
  equal = count == SMALL || count == LARGE;
  if (equal) status = rn_split_read(&why, &split, 0, count, ids);
  for (int64_t i = 0; equal && i < count; i++) equal = ids[i] == token(i);
  rn_split_close(&split);
  return judge(status, &why, file, equal);
}

static Retnet__Tokenizer stored_tokenizer(void) {
  static uint8_t content[2000];
  static char kind[] = "tiktoken", name[] = "small.tiktoken", settings[] = "{}";
  Retnet__Tokenizer file = RETNET__TOKENIZER__INIT;
  for (size_t i = 0; i < sizeof content; i++) content[i] = (uint8_t)token((int64_t)i);
  file.format = 1;
  file.kind = kind;
  file.file_name = name;
  file.settings = settings;
  file.content = (ProtobufCBinaryData){sizeof content, content};
  return file;
}

static verdict read_tokenizer(const char *file) {
  const Retnet__Tokenizer written = stored_tokenizer();
  rn_err why = {0};
  rn_split split;
  Retnet__Tokenizer *got = NULL;
  rn_status status = rn_split_open(&why, rn_path_folder(file).text, "train", &split);
  if (status != RN_OK) return judge(status, &why, file, false);
  status = rn_split_tokenizer_file(&why, &split, &got);
  const bool equal = got != NULL && got->format == written.format &&
                     strcmp(got->file_name, written.file_name) == 0 &&
                     rn_tokenizer_file_hash(got) == rn_tokenizer_file_hash(&written);
  rn_tokenizer_file_free(got);
  rn_split_close(&split);
  return judge(status, &why, file, equal);
}

static void flip_data_folders(int64_t share) {
  const Retnet__Tokenizer tokenizer = stored_tokenizer();
  const rn_shard_kind kind = {"tiktoken:small", rn_tokenizer_file_hash(&tokenizer), 256, 0};
  void *packed = NULL;
  size_t bytes = 0;
  CHECK_OK(err, rn_file_make_folder(err, temp_path("small")));
  CHECK_OK(err, rn_file_make_folder(err, temp_path("large")));
  write_shard(temp_path("small/0.rtd"), SMALL, kind);
  write_shard(temp_path("large/0.rtd"), LARGE, kind);
  CHECK_OK(err, rn_tokenizer_file_pack(err, &tokenizer, &packed, &bytes));
  CHECK_OK(err, rn_file_replace(err, temp_path("small/tokenizer.pb.zst"), packed, bytes));
  free(packed);
  flip_file("shard, retnet-data verify", temp_path("small/0.rtd"), 6 * share, true, verify_shard);
  flip_file("shard, training", temp_path("small/0.rtd"), 6 * share, false, read_tokens);
  flip_file("shard of 3 blocks, verify", temp_path("large/0.rtd"), share / 4, true, verify_shard);
  flip_file("shard of 3 blocks, training", temp_path("large/0.rtd"), share / 4, false, read_tokens);
  flip_file("stored tokenizer", temp_path("small/tokenizer.pb.zst"), 2 * share, true,
            read_tokenizer);
}

/* ---- checkpoints ---- */

static const char *run; /* its directory */
static char notes[4096];

static void note(void *context, const char *line) {
  (void)context;
  snprintf(notes, sizeof notes, "%s", line);
}

/* Finds the checkpoint from which a run would continue. If the newest one is damaged, this must be
 * the older one, and a line must name the damaged file. */
static verdict find_newest(const char *file) {
  const rn_ckpt_notes how = {note, NULL, NULL};
  rn_err why = {0};
  rn_ckpt *ckpt = NULL;
  notes[0] = '\0';
  if (rn_ckpt_find(&why, run, false, &how, &ckpt) != RN_OK) return MISSED;
  const int64_t step = rn_ckpt_manifest(ckpt)->step;
  const bool equal = fake_is(ckpt, (uint64_t)step);
  rn_ckpt_close(&ckpt);
  if (!equal) return MISSED;
  if (step == NEW) return notes[0] == '\0' ? HARMLESS : MISSED;
  return step == OLD && strstr(notes, "is damaged") != NULL && names(notes, file) ? NOTICED
                                                                                  : MISSED;
}

static void flip_checkpoint(int64_t share) {
  run = temp_path("run");
  CHECK_OK(err, fake_save(err, run, OLD, OLD, PARTS, 1));
  CHECK_OK(err, fake_save(err, run, NEW, NEW, PARTS, 2));
  CHECK_OK(err, rn_ckpt_point_latest(err, run, NEW));
  const rn_path newest = rn_path_join(run, "checkpoints/step-00000005");
  flip_file("checkpoint, manifest", rn_path_join(newest.text, "manifest.pb").text, 2 * share, true,
            find_newest);
  flip_file("checkpoint, first file", rn_path_join(newest.text, "part-00000.zst").text, share, true,
            find_newest);
  flip_file("checkpoint, second file", rn_path_join(newest.text, "part-00001.zst").text, share,
            true, find_newest);
  flip_file("checkpoint, latest (a hint)", rn_path_join(run, "checkpoints/latest").text, share,
            false, find_newest);
}

/* ---- saved states ---- */

enum { STATE_BYTES = 900 };
static unsigned char state[STATE_BYTES];

static void write_state(const char *path) {
  uint32_t tokens[] = {256, 5, 7, 9};
  rn_state_writer writer = {.bytes = 0};
  Retnet__GenerationState m = RETNET__GENERATION_STATE__INIT;
  m.token = tokens;
  m.n_token = 4;
  m.read = 4 - 1;
  for (int i = 0; i < STATE_BYTES; i++) state[i] = (unsigned char)token(i);
  CHECK_OK(err, rn_state_writer_open(err, path, &writer));
  CHECK_OK(err, rn_state_writer_add(err, &writer, state, STATE_BYTES / 2));
  CHECK_OK(err, rn_state_writer_add(err, &writer, state + STATE_BYTES / 2, STATE_BYTES / 2));
  CHECK_OK(err, rn_state_writer_commit(err, &writer, &m));
  rn_state_writer_close(&writer);
}

static verdict read_state(const char *file) {
  rn_err why = {0};
  rn_state_reader open_file = {.message = NULL};
  void *all = NULL;
  size_t bytes = 0;
  rn_status status = rn_state_reader_open(&why, file, &open_file);
  if (status == RN_OK) status = rn_state_reader_read(&why, &open_file, SIZE_MAX, &all, &bytes);
  const bool equal = status == RN_OK && bytes == STATE_BYTES && memcmp(all, state, bytes) == 0 &&
                     open_file.message->n_token == 4 && open_file.message->read == 3;
  free(all);
  rn_state_reader_close(&open_file);
  return judge(status, &why, file, equal);
}

int main(int argc, char **argv) {
  /* Uses a file system in memory, because on a disk each flip would wait while the kernel writes
   * the page of the previous flip back. */
  if (access("/dev/shm", W_OK) == 0) CHECK_EQUAL(setenv("TMPDIR", "/dev/shm", 1), 0);
  const int64_t share = (argc > 1 ? atoll(argv[1]) : 12000) / 28;
  flip_data_folders(share);
  flip_checkpoint(share);
  write_state(temp_path("text.state"));
  flip_file("saved state", temp_path("text.state"), 6 * share, true, read_state);
  printf("%lld flips in all\n", all_flips);
  return check_result();
}
