#include "data/batch/split.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/file/little_endian.h"
#include "proto/base/arena.h"

static int is_shard(const struct dirent *entry) {
  const size_t length = strlen(entry->d_name);
  return length > 4 && strcmp(entry->d_name + length - 4, ".rtd") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static rn_status same_kind(rn_err *err, const rn_shard *first, const rn_shard *shard) {
  const Retnet__ShardHeader *a = first->footer->header, *b = shard->footer->header;
  if (a->tokenizer_hash == b->tokenizer_hash && a->vocabulary == b->vocabulary &&
      a->document_token == b->document_token && a->block_tokens == b->block_tokens) {
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_FORMAT,
                 "%s has a different tokenizer or block size than %s; build the folder again with "
                 "`retnet-data build`",
                 shard->file.path, first->file.path);
}

static rn_status open_shards(rn_err *err, const char *folder, struct dirent **names, int count,
                             rn_split *split) {
  RN_TRY(err, rn_alloc(err, "shards", (size_t)count, sizeof *split->shard, &split->shard));
  RN_TRY(err, rn_alloc(err, "shards", (size_t)count + 1, sizeof *split->first, &split->first));
  XXH64_hash_t content = 0;
  for (int i = 0; i < count; i++) {
    RN_TRY(err, rn_shard_open(err, rn_path_join(folder, names[i]->d_name).text, &split->shard[i]));
    split->shards++;
    RN_TRY(err, same_kind(err, &split->shard[0], &split->shard[i]));
    unsigned char id[16];
    rn_put_u64(id, content);
    rn_put_u64(id + 8, split->shard[i].footer->id);
    content = XXH3_64bits(id, sizeof id);
    split->first[i + 1] = split->first[i] + (int64_t)split->shard[i].footer->tokens;
  }
  split->tokens = split->first[count];
  split->content = content;
  split->cached_block = -1;
  return rn_alloc(err, "block", rn_split_header(split)->block_tokens, sizeof *split->cached,
                  &split->cached);
}

static rn_status load_tokenizer(rn_err *err, const char *folder, rn_split *split) {
  const size_t max_bytes = (size_t)1 << 29;
  const rn_path path = rn_path_join(folder, RN_SPLIT_TOKENIZER_FILE);
  bool exists;
  RN_TRY(err, rn_file_find(err, path.text, &exists));
  if (!exists) return RN_OK;
  return rn_file_load(err, path.text, max_bytes, &split->tokenizer_file,
                      &split->tokenizer_file_bytes);
}

static const char *other_split(const char *name) {
  return strcmp(name, "val") == 0 ? "train" : "val";
}

rn_status rn_split_open(rn_err *err, const char *dir, const char *name, rn_split *out) {
  *out = (rn_split){0};
  struct dirent **names = NULL;
  rn_path folder = rn_path_join(dir, name);
  int count = scandir(folder.text, &names, is_shard, by_bytes);
  const bool unreadable = count < 0 && errno != ENOENT && errno != ENOTDIR;
  if (count <= 0 && !unreadable) {
    free(names);
    names = NULL;
    folder = rn_path_join(dir, ".");
    count = scandir(dir, &names, is_shard, by_bytes);
  }
  rn_status status = RN_OK;
  if (count < 0) {
    status = rn_file_fail(err, "open the data folder", unreadable ? folder.text : dir, errno);
  } else if (count == 0 && rn_file_exists(rn_path_join(dir, other_split(name)).text)) {
    status = rn_fail(err, RN_ERR_NOT_FOUND,
                     "%s has no %s split; build the data again into another folder, with "
                     "`retnet-data build --val-fraction F` and 0 < F < 1",
                     dir, name);
  } else if (count == 0) {
    status = rn_fail(err, RN_ERR_NOT_FOUND,
                     "%s: no shards (.rtd) found there or in its folder %s; create them with "
                     "`retnet-data build --out %s TEXT`",
                     dir, name, dir);
  } else {
    status = open_shards(err, folder.text, names, count, out);
    if (status == RN_OK) status = load_tokenizer(err, folder.text, out);
  }
  for (int i = 0; i < count; i++) free(names[i]);
  free(names);
  if (status != RN_OK) rn_split_close(out);
  return status;
}

void rn_split_close(rn_split *split) {
  for (int i = 0; i < split->shards; i++) rn_shard_close(&split->shard[i]);
  free(split->shard);
  free(split->first);
  free(split->cached);
  free(split->tokenizer_file);
  *split = (rn_split){0};
}

const Retnet__ShardHeader *rn_split_header(const rn_split *split) {
  return split->shard[0].footer->header;
}

int64_t rn_split_sequences(const rn_split *split, int sequence_length) {
  return split->tokens > 0 ? (split->tokens - 1) / sequence_length : 0;
}

static rn_status load_block(rn_err *err, rn_split *split, int shard, int64_t block) {
  if (split->cached_shard == shard && split->cached_block == block) return RN_OK;
  split->cached_block = -1;
  RN_TRY(err, rn_shard_read_block(err, &split->shard[shard], block, split->cached));
  split->cached_shard = shard;
  split->cached_block = block;
  return RN_OK;
}

rn_status rn_split_read(rn_err *err, rn_split *split, int64_t first, int64_t count,
                        int32_t *tokens) {
  if (first < 0 || count < 0 || first > split->tokens - count) {
    return rn_fail(err, RN_ERR_USAGE, "cannot read tokens %lld to %lld: the split has %lld tokens",
                   (long long)first, (long long)(first + count), (long long)split->tokens);
  }
  const int64_t each = (int64_t)rn_split_header(split)->block_tokens;
  int shard = 0;
  for (int64_t done = 0; done < count;) {
    while (first + done >= split->first[shard + 1]) shard++;
    const int64_t at = first + done - split->first[shard], block = at / each;
    RN_TRY(err, load_block(err, split, shard, block));
    int64_t piece = (int64_t)split->shard[shard].footer->block[block]->tokens - at % each;
    if (piece > count - done) piece = count - done;
    memcpy(tokens + done, split->cached + at % each, (size_t)piece * sizeof *tokens);
    done += piece;
  }
  return RN_OK;
}
