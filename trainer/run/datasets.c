#include "trainer/run/datasets.h"

#include "data/text/split_tokenizer.h"

/*
 * Checks that the val split has the same vocabulary as the train split, which determines the
 * model's.
 */
static rn_status check_val_kind(rn_err *err, const rn_datasets *d, const char *dir) {
  const Retnet__ShardHeader *train = rn_split_header(&d->train), *val = rn_split_header(&d->val);
  if (val->tokenizer_hash == train->tokenizer_hash && val->vocabulary == train->vocabulary &&
      val->document_token == train->document_token) {
    return RN_OK;
  }
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s: the tokenizer or vocabulary of its val split (%s, %u) differs from that of its "
      "train split (%s, %u); build both with one `retnet-data build`",
      dir, val->tokenizer, val->vocabulary, train->tokenizer, train->vocabulary);
}

/* Checks that the tokenizer that checkpoints will store is the one that made the tokens. */
static rn_status check_tokenizer(rn_err *err, const rn_split *split) {
  Retnet__Tokenizer *file = NULL;
  RN_TRY(err, rn_split_tokenizer_file(err, split, &file));
  rn_tokenizer_file_free(file);
  return RN_OK;
}

rn_status rn_datasets_open(rn_err *err, const Retnet__Data *config, rn_datasets *out) {
  *out = (rn_datasets){.has_train = false};
  if (config->dir == NULL) return RN_OK;
  RN_TRY(err, rn_split_open(err, config->dir, "train", &out->train));
  out->has_train = true;
  RN_TRY(err, check_tokenizer(err, &out->train));
  if (rn_split_sequences(&out->train, config->sequence_length) < 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: its %lld tokens are too few for data.sequence_length %d (sequence_length + "
                   "1 are needed)",
                   config->dir, (long long)out->train.tokens, config->sequence_length);
  }
  if (!rn_file_exists(rn_path_join(config->dir, "val").text)) return RN_OK;
  RN_TRY(err, rn_split_open(err, config->dir, "val", &out->val));
  out->has_val = true;
  return check_val_kind(err, out, config->dir);
}

void rn_datasets_close(rn_datasets *datasets) {
  rn_split_close(&datasets->train);
  rn_split_close(&datasets->val);
  *datasets = (rn_datasets){.has_train = false};
}

int rn_datasets_vocabulary(const rn_datasets *datasets) {
  return datasets->has_train ? (int)rn_split_header(&datasets->train)->vocabulary : 0;
}

rn_status rn_datasets_check_same(rn_err *err, const rn_datasets *d, rn_world *world) {
  const uint64_t train[2] = {d->train.content, (uint64_t)d->train.tokens};
  const uint64_t val[3] = {d->has_val, d->val.content, (uint64_t)d->val.tokens};
  RN_TRY(err, rn_world_check_same(err, world, "the training data", train, sizeof train));
  return rn_world_check_same(err, world, "the validation data", val, sizeof val);
}
