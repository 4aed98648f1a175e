#include "trainer/run/datasets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/file/little_endian.h"
#include "data/text/split_tokenizer.h"
#include "proto/base/arena.h"
#include "proto/options/options_items.h"

/* Checks that a split has the same vocabulary as the first train split, because the model has only
 * one. */
static rn_status check_kind(rn_err *err, const rn_datasets *d, const rn_split *split) {
  const Retnet__ShardHeader *first = rn_split_header(&d->train[0].split);
  const Retnet__ShardHeader *other = rn_split_header(split);
  if (other->tokenizer_hash == first->tokenizer_hash && other->vocabulary == first->vocabulary &&
      other->document_token == first->document_token) {
    return RN_OK;
  }
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s: its tokenizer or vocabulary (%s, %u ids) differs from that of %s (%s, %u ids); "
      "build both with the same --tokenizer",
      split->shard[0].file.path, other->tokenizer, other->vocabulary,
      d->train[0].split.shard[0].file.path, first->tokenizer, first->vocabulary);
}

/* ---- training ---- */

/* Checks that the tokenizer file, which checkpoints will store, is the one with which the tokens
 * were made. */
static rn_status check_tokenizer(rn_err *err, const rn_split *split) {
  Retnet__Tokenizer *file = NULL;
  RN_TRY(err, rn_split_tokenizer_file(err, split, &file));
  rn_tokenizer_file_free(file);
  return RN_OK;
}

static rn_status open_source(rn_err *err, const Retnet__Data *config, const char *dir,
                             rn_datasets *d) {
  rn_train_source *source = &d->train[d->sources];
  source->dir = strdup(dir);
  if (source->dir == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory for data.dir");
  d->sources++;
  RN_TRY(err, rn_split_open(err, dir, "train", &source->split));
  RN_TRY(err, check_tokenizer(err, &source->split));
  if (rn_split_sequences(&source->split, config->sequence_length) < 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: its %lld tokens are too few for data.sequence_length %d (sequence_length + "
                   "1 are needed)",
                   dir, (long long)source->split.tokens, config->sequence_length);
  }
  d->tokens += source->split.tokens;
  return check_kind(err, d, &source->split);
}

/* Returns the hash of the training data. For a single split it is the split's hash, as in
 * checkpoints of versions without mixtures. */
static uint64_t hash_of(const rn_datasets *d) {
  uint64_t hash = d->train[0].split.content;
  for (int i = 0; d->sources > 1 && i < d->sources; i++) {
    unsigned char words[24];
    rn_put_u64(words, i > 0 ? hash : 0);
    rn_put_u64(words + 8, d->train[i].split.content);
    rn_put_u64(words + 16, (uint64_t)d->mix.weight[i]);
    hash = XXH3_64bits(words, sizeof words);
  }
  return hash;
}

static rn_status create_mix(rn_err *err, const rn_options_items *items, rn_datasets *d) {
  double weight[RN_OPTIONS_MAX_ITEMS];
  for (int i = 0; i < items->count; i++) weight[i] = items->item[i].weight;
  RN_TRY(err, rn_mix_create(err, weight, items->count, &d->mix));
  d->content = hash_of(d);
  return RN_OK;
}

static rn_status open_sources(rn_err *err, const Retnet__Data *config,
                              const rn_options_items *items, rn_datasets *d) {
  if (items->count > 1 && config->carry_state) {
    return rn_fail(err, RN_ERR_USAGE,
                   "data.carry_state: streams are read in the order in which one folder stores "
                   "them, so data.dir must be a single folder, not a list; build the data into "
                   "one folder");
  }
  RN_TRY(err, rn_alloc(err, "data.dir", (size_t)items->count, sizeof *d->train, &d->train));
  for (int i = 0; i < items->count; i++) {
    RN_TRY(err, open_source(err, config, items->item[i].dir, d));
  }
  return create_mix(err, items, d);
}

/* ---- validation ---- */

static bool is_name(const char *name) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return name[strspn(name, letters)] == '\0' && strlen(name) < RN_VAL_NAME_BYTES;
}

static rn_status open_val(rn_err *err, const char *name, const char *dir, rn_datasets *d) {
  if (!is_name(name)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "data.val: the name \"%s\" of a validation set must have at most %d letters, "
                   "digits, -, _ and .",
                   name, RN_VAL_NAME_BYTES - 1);
  }
  for (int i = 0; i < d->val_sets; i++) {
    if (strcmp(d->val[i].name, name) != 0) continue;
    return rn_fail(err, RN_ERR_USAGE, "data.val: two validation sets have the name \"%s\"", name);
  }
  rn_val_set *set = &d->val[d->val_sets];
  memcpy(set->name, name, strlen(name) + 1);
  RN_TRY(err, rn_split_open(err, dir, "val", &set->split));
  d->val_sets++;
  return d->sources > 0 ? check_kind(err, d, &set->split) : RN_OK;
}

/* Returns the last part of a path. */
static rn_path name_of(const char *dir) {
  rn_path name;
  size_t end = strlen(dir);
  while (end > 1 && dir[end - 1] == '/') end--;
  size_t begin = end;
  while (begin > 0 && dir[begin - 1] != '/') begin--;
  snprintf(name.text, sizeof name.text, "%.*s", (int)(end - begin), dir + begin);
  return name;
}

/* Chooses the name of the val split of item i of a mixture. */
static void name_by_folder(const rn_options_items *items, int i, rn_path *out) {
  *out = name_of(items->item[i].dir);
  bool good = is_name(out->text) && out->text[0] != '\0';
  for (int k = 0; k < items->count; k++) {
    good = good && (k == i || strcmp(name_of(items->item[k].dir).text, out->text) != 0);
  }
  if (!good) snprintf(out->text, sizeof out->text, "%d", i + 1);
}

static rn_status open_val_sets(rn_err *err, const rn_options_items *val,
                               const rn_options_items *train, rn_datasets *d) {
  const rn_options_items *from = val->count > 0 ? val : train;
  if (from->count > RN_MAX_VAL_SETS) {
    return rn_fail(err, RN_ERR_USAGE, "data.val: more than %d validation sets", RN_MAX_VAL_SETS);
  }
  RN_TRY(err, rn_alloc(err, "data.val", (size_t)from->count, sizeof *d->val, &d->val));
  for (int i = 0; i < from->count; i++) {
    const rn_options_item *item = &from->item[i];
    bool exists = true;
    if (from == train) {
      RN_TRY(err, rn_file_find(err, rn_path_join(item->dir, "val").text, &exists));
    }
    if (!exists) continue;
    rn_path name = {""};
    if (from == train && train->count > 1) name_by_folder(train, i, &name);
    RN_TRY(err, open_val(err, item->name != NULL ? item->name : name.text, item->dir, d));
  }
  return RN_OK;
}

/* ---- the whole ---- */

rn_status rn_datasets_open(rn_err *err, const Retnet__Data *config, rn_datasets *out) {
  rn_options_items train = {0}, val = {0};
  *out = (rn_datasets){.sources = 0};
  if (config->dir == NULL) return RN_OK;
  rn_status status = rn_options_items_parse(err, "data.dir", "dir weight", config->dir, &train);
  if (status == RN_OK) {
    status = rn_options_items_parse(err, "data.val", "name dir", config->val, &val);
  }
  if (status == RN_OK) status = open_sources(err, config, &train, out);
  if (status == RN_OK) status = open_val_sets(err, &val, &train, out);
  rn_options_items_free(&train);
  rn_options_items_free(&val);
  return status;
}

void rn_datasets_close(rn_datasets *d) {
  for (int i = 0; i < d->sources; i++) {
    rn_split_close(&d->train[i].split);
    free(d->train[i].dir);
  }
  for (int i = 0; i < d->val_sets; i++) rn_split_close(&d->val[i].split);
  free(d->train);
  free(d->val);
  rn_mix_destroy(&d->mix);
  *d = (rn_datasets){.sources = 0};
}

int rn_datasets_vocabulary(const rn_datasets *d) {
  return d->sources > 0 ? (int)rn_split_header(&d->train[0].split)->vocabulary : 0;
}

rn_status rn_datasets_check_same(rn_err *err, const rn_datasets *d, rn_world *world) {
  uint64_t val[1 + 2 * RN_MAX_VAL_SETS] = {(uint64_t)d->val_sets};
  const uint64_t train[3] = {(uint64_t)d->sources, d->content, (uint64_t)d->tokens};
  for (int i = 0; i < d->val_sets; i++) {
    val[1 + 2 * i] = d->val[i].split.content;
    val[2 + 2 * i] = (uint64_t)d->val[i].split.tokens;
  }
  RN_TRY(err, rn_world_check_same(err, world, "the training data", train, sizeof train));
  return rn_world_check_same(err, world, "the validation data", val, sizeof val);
}
