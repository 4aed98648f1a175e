/*
 * retnet-bench io measures the throughput of shards and checkpoints, including compression and the
 * file system.
 *
 * For comparison, the weights are also written to and read from a plain file. Writes end with
 * fsync. Before a read, the kernel is asked to drop the file from the page cache; if it does, the
 * file is read from the disk. Under mpirun each rank writes and reads separate files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/checkpoint/ckpt.h"
#include "data/file/temporary_name.h"
#include "data/shard/shard.h"
#include "model/spec/param.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/base/quantile.h"
#include "proto/base/random.h"
#include "proto/options/options.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/bench_config.h"

enum { ROUNDS = 3, TEXT_BYTES = 8 << 20, WORDS = 4096, STEP = 1 };

/* The data of the benchmark: the weights of a model, and a text of synthetic words. */
typedef struct bench {
  rn_world *world;
  Retnet__Config *config;
  rn_path folder; /* temporary folder */
  bool made;
  rn_param_table *table;
  float *weights, *read; /* [table->total] */
  int32_t *text;         /* [TEXT_BYTES] */
} bench;

/* ---- data ---- */

/* Fills `text` with words of 2 to 9 letters. Their distribution is skewed, so that the text
 * compresses about as well as real text. */
static void synthetic_text(int32_t *text) {
  const rn_random_key words = rn_random_key_named(RN_RANDOM_INIT, 1, "words");
  const rn_random_key order = rn_random_key_named(RN_RANDOM_INIT, 1, "order");
  uint64_t asked = 0;
  for (int64_t at = 0; at < TEXT_BYTES;) {
    const double skewed = rn_random_uniform(order, asked++);
    const uint64_t word = (uint64_t)(skewed * skewed * skewed * WORDS);
    const int letters = 2 + (int)(8 * rn_random_uniform(words, 16 * word));
    for (int i = 0; i < letters && at < TEXT_BYTES; i++) {
      text[at++] = 'a' + (int)(26 * rn_random_uniform(words, 16 * word + 1 + (uint64_t)i));
    }
    if (at < TEXT_BYTES) text[at++] = ' ';
  }
}

static rn_status make(rn_err *err, const rn_bench_options *options, bench *b) {
  rn_spec spec;
  RN_TRY(err, rn_bench_config(err, options, &b->config));
  RN_TRY(err, rn_spec_from_config(err, b->config, 0, &spec));
  RN_TRY(err, rn_param_table_create(err, &spec, 0, spec.layers, &b->table));
  const size_t total = (size_t)b->table->total;
  RN_TRY(err, rn_alloc(err, "weights", total, sizeof(float), &b->weights));
  RN_TRY(err, rn_alloc(err, "weights", total, sizeof(float), &b->read));
  RN_TRY(err, rn_alloc(err, "text", TEXT_BYTES, sizeof(int32_t), &b->text));
  rn_param_init_values(b->table, 1, 0, b->table->total, b->weights);
  synthetic_text(b->text);
  b->made = mkdir(b->folder.text, 0700) == 0;
  if (b->made) return RN_OK;
  return rn_fail(err, RN_ERR_IO, "cannot create the folder %s: %s; choose another one with --dir",
                 b->folder.text, strerror(errno));
}

static void destroy(bench *b) {
  if (b->made) rn_file_remove_tree(NULL, b->folder.text);
  rn_param_table_destroy(&b->table);
  free(b->weights);
  free(b->read);
  free(b->text);
  rn_options_free(&b->config);
}

static rn_path path_of(const bench *b, const char *name) {
  return rn_path_join(b->folder.text, name);
}

static int64_t weight_bytes(const bench *b) {
  return b->table->total * (int64_t)sizeof(float);
}

/* ---- timed operations ---- */

static rn_status write_plain(rn_err *err, bench *b) {
  rn_file file = {0};
  RN_TRY(err, rn_file_create(err, path_of(b, "plain").text, &file));
  rn_status status = rn_file_write(err, &file, 0, b->weights, (size_t)weight_bytes(b));
  if (status == RN_OK) status = rn_file_sync(err, &file);
  rn_file_destroy(&file);
  return status;
}

static rn_status read_plain(rn_err *err, bench *b) {
  rn_file file = {0};
  RN_TRY(err, rn_file_open(err, path_of(b, "plain").text, &file));
  rn_status status = rn_file_read(err, &file, 0, b->read, (size_t)weight_bytes(b));
  rn_file_destroy(&file);
  return status;
}

static rn_status write_shard(rn_err *err, bench *b) {
  const rn_shard_kind kind = {"bytes", 0, 257, 256};
  rn_shard_writer *writer = NULL;
  RN_TRY(err, rn_shard_writer_create(err, path_of(b, "shard").text, kind, &writer));
  rn_status status = rn_shard_append(err, writer, b->text, TEXT_BYTES, TEXT_BYTES);
  if (status == RN_OK) return rn_shard_finish(err, &writer);
  rn_shard_abandon(&writer);
  return status;
}

static rn_status read_shard(rn_err *err, bench *b) {
  int32_t tokens[RN_SHARD_BLOCK_TOKENS];
  rn_shard shard = {0};
  RN_TRY(err, rn_shard_open(err, path_of(b, "shard").text, &shard));
  rn_status status = RN_OK;
  for (int64_t i = 0; status == RN_OK && i < (int64_t)shard.footer->n_block; i++) {
    status = rn_shard_read_block(err, &shard, i, tokens);
  }
  rn_shard_close(&shard);
  return status;
}

static rn_status fill_slices(rn_err *err, const bench *b, rn_ckpt_slice **out) {
  RN_TRY(err, rn_alloc(err, "slices", (size_t)b->table->count, sizeof **out, out));
  for (int i = 0; i < b->table->count; i++) {
    const rn_param *p = &b->table->param[i];
    (*out)[i] = (rn_ckpt_slice){.kind = RETNET__TENSOR_KIND__KIND_WEIGHT,
                                .name = p->name,
                                .dims = 2,
                                .shape = {p->rows, p->cols},
                                .count = p->rows * p->cols,
                                .data = b->weights + p->offset};
  }
  return RN_OK;
}

static rn_status write_checkpoint(rn_err *err, bench *b) {
  const char *dir = b->folder.text;
  Retnet__Vocabulary vocabulary = RETNET__VOCABULARY__INIT;
  Retnet__Manifest head = RETNET__MANIFEST__INIT;
  rn_ckpt_slice *slices = NULL;
  rn_ckpt_report report = {0};
  vocabulary.size = 257;
  head.step = STEP;
  head.config = b->config;
  head.vocabulary = &vocabulary;
  RN_TRY(err, rn_ckpt_stage_dir(err, dir, STEP));
  RN_TRY(err, fill_slices(err, b, &slices));
  rn_status status = rn_ckpt_write_file(
      err, (rn_ckpt_output){rn_ckpt_stage_path(dir, STEP).text, 0, 0, b->config->checkpoint->level},
      slices, b->table->count, &report);
  if (status == RN_OK) status = rn_ckpt_commit(err, dir, &head, &report, 1);
  free(report.bytes);
  free(slices);
  return status;
}

static rn_status read_checkpoint(rn_err *err, bench *b) {
  rn_ckpt *ckpt = NULL;
  RN_TRY(err, rn_ckpt_open(err, path_of(b, "checkpoints/step-00000001").text, &ckpt));
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < b->table->count; i++) {
    const rn_param *p = &b->table->param[i];
    status = rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_WEIGHT, p->name,
                          (rn_range){0, p->rows * p->cols}, b->read + p->offset);
  }
  rn_ckpt_close(&ckpt);
  return status;
}

/* ---- timing ---- */

/* One kind of data to write and read, and its file. */
typedef struct data_set {
  const char *what, *file;
  rn_status (*write)(rn_err *err, bench *b), (*read)(rn_err *err, bench *b);
  bool is_text;
  int64_t stored_bytes;
  double write_s[RN_QUANTILE_MAX], read_s[RN_QUANTILE_MAX];
} data_set;

static int64_t bytes_of(const bench *b, const data_set *t) {
  return t->is_text ? TEXT_BYTES : weight_bytes(b);
}

static rn_status time_one(rn_err *err, bench *b, rn_status (*work)(rn_err *, bench *), double *s) {
  RN_TRY(err, rn_world_barrier(err, b->world));
  const double begin_s = rn_clock_s();
  RN_TRY(err, rn_agree(err, b->world, work(err, b)));
  *s = rn_clock_s() - begin_s;
  return RN_OK;
}

/* Stores the file size, and asks the kernel to drop the file from the page cache. */
static rn_status drop_from_cache(rn_err *err, const bench *b, data_set *t) {
  rn_file file = {0};
  RN_TRY(err, rn_file_open(err, path_of(b, t->file).text, &file));
  t->stored_bytes = file.size_bytes;
  posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
  rn_file_destroy(&file);
  return RN_OK;
}

static rn_status time_all(rn_err *err, bench *b, data_set *data_sets, int count, int rounds) {
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < count; i++) {
      data_set *t = &data_sets[i];
      RN_TRY(err, time_one(err, b, t->write, &t->write_s[round]));
      RN_TRY(err, rn_agree(err, b->world, drop_from_cache(err, b, t)));
      RN_TRY(err, time_one(err, b, t->read, &t->read_s[round]));
    }
  }
  return RN_OK;
}

/* ---- output ---- */

static void print_json(const bench *b, const data_set *data_sets, int count, int rounds) {
  const double ranks = rn_world_size(b->world);
  printf("{\"ranks\": %.0f, \"level\": %d, \"things\": [", ranks, b->config->checkpoint->level);
  for (int i = 0; i < count; i++) {
    const data_set *t = &data_sets[i];
    const double bytes = (double)bytes_of(b, t);
    printf("%s{\"what\": \"%s\", \"bytes\": %.0f, \"stored_bytes\": %lld, ", i == 0 ? "" : ", ",
           t->what, bytes, (long long)t->stored_bytes);
    printf("\"ratio\": %s, \"write_bytes_per_s\": %s, \"read_bytes_per_s\": %s}",
           RN_JSON(bytes / (double)t->stored_bytes),
           RN_JSON(ranks * bytes / rn_median(t->write_s, rounds)),
           RN_JSON(ranks * bytes / rn_median(t->read_s, rounds)));
  }
  printf("]}\n");
}

static void print_table(const bench *b, const data_set *data_sets, int count, int rounds) {
  const double ranks = rn_world_size(b->world);
  printf(
      "MB/s of uncompressed data, summed over %.0f ranks, checkpoint.level %d; medians of %d "
      "samples\n",
      ranks, b->config->checkpoint->level, rounds);
  printf("%-18s %10s %10s %8s %10s %10s\n", "", "MB", "stored", "ratio", "write", "read");
  for (int i = 0; i < count; i++) {
    const data_set *t = &data_sets[i];
    const double mb = 1e-6 * (double)bytes_of(b, t), stored_mb = 1e-6 * (double)t->stored_bytes;
    printf("%-18s %10.1f %10.1f %8.2f %10.1f %10.1f\n", t->what, mb, stored_mb, mb / stored_mb,
           ranks * mb / rn_median(t->write_s, rounds), ranks * mb / rn_median(t->read_s, rounds));
  }
}

rn_status rn_bench_io(rn_err *err, rn_world *world, const rn_bench_options *options) {
  data_set data_sets[] = {{"plain file", "plain", write_plain, read_plain, false, 0, {0}, {0}},
                          {"shard", "shard", write_shard, read_shard, true, 0, {0}, {0}},
                          {"checkpoint file",
                           "checkpoints/step-00000001/part-00000.zst",
                           write_checkpoint,
                           read_checkpoint,
                           false,
                           0,
                           {0},
                           {0}}};
  const int count = (int)(sizeof data_sets / sizeof data_sets[0]);
  const int rounds = options->rounds > 0 ? (int)options->rounds : ROUNDS;
  bench b = {.world = world};
  const rn_path begin = rn_path_join(options->dir != NULL ? options->dir : ".", "retnet-bench-io-");
  rn_temporary_remove_left(begin.text, "");
  b.folder = rn_temporary_name(begin.text, "");
  rn_status status = rn_agree(err, world, make(err, options, &b));
  if (status == RN_OK) status = time_all(err, &b, data_sets, count, rounds);
  if (status == RN_OK && rn_world_rank(world) == 0) {
    (options->json ? print_json : print_table)(&b, data_sets, count, rounds);
  }
  destroy(&b);
  return status;
}
