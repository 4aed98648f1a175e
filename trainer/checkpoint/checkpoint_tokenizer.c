#include "trainer/checkpoint/checkpoint_tokenizer.h"

#include <string.h>

#include "data/tokenizer/bytes.h"

rn_status rn_checkpoint_check_tokenizer(rn_err *err, const char *checkpoint,
                                        const Retnet__Vocabulary *vocabulary, const rn_split *split,
                                        const char *dir) {
  const Retnet__ShardHeader *header = rn_split_header(split);
  if (!vocabulary->has_tokenizer_sum || vocabulary->tokenizer_sum == header->tokenizer_hash) {
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_USAGE,
                 "checkpoint %s uses tokenizer %s (%016llx), but the data in %s were built with "
                 "tokenizer %s (%016llx); build the data with the tokenizer of the checkpoint",
                 checkpoint, vocabulary->tokenizer != NULL ? vocabulary->tokenizer : "unknown",
                 (unsigned long long)vocabulary->tokenizer_sum, dir, header->tokenizer,
                 (unsigned long long)header->tokenizer_hash);
}

rn_status rn_checkpoint_tokenizer_file(rn_err *err, const char *checkpoint,
                                       const Retnet__Vocabulary *vocabulary,
                                       Retnet__Tokenizer **out) {
  const char *name = vocabulary->tokenizer;
  *out = NULL;
  if (vocabulary->has_tokenizer_file) {
    return rn_tokenizer_file_unpack(err, checkpoint, vocabulary->tokenizer_file.data,
                                    vocabulary->tokenizer_file.len, vocabulary->tokenizer_sum, out);
  }
  if (name == NULL || strcmp(name, RN_BYTES_NAME) == 0) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "checkpoint %s uses tokenizer %s, but does not contain it",
                 checkpoint, name);
}

rn_status rn_checkpoint_tokenizer(rn_err *err, const char *checkpoint,
                                  const rn_checkpoint_model *model, rn_tokenizer **out) {
  Retnet__Tokenizer *file = NULL;
  RN_TRY(err, rn_checkpoint_tokenizer_file(err, checkpoint, model->manifest->vocabulary, &file));
  const rn_status status = rn_tokenizer_create(err, file, out);
  rn_tokenizer_file_free(file);
  if (status != RN_OK || model->spec.vocab >= (*out)->vocabulary) return status;
  return rn_fail(
      err, RN_ERR_USAGE,
      "checkpoint %s: the model has a vocabulary of %d tokens, but its tokenizer has %d (%s)",
      checkpoint, model->spec.vocab, (*out)->vocabulary, (*out)->name);
}

int32_t rn_checkpoint_begin_token(const Retnet__Vocabulary *vocabulary, int32_t document) {
  return vocabulary->has_begin_token ? vocabulary->begin_token : document;
}
