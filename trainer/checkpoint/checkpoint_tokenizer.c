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
                 "the checkpoint %s uses tokenizer %s (%016llx), but the data in %s were built "
                 "with tokenizer %s (%016llx); build the data with the tokenizer of the checkpoint",
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
  return rn_fail(err, RN_ERR_USAGE, "%s: the checkpoint does not contain its tokenizer %s",
                 checkpoint, name);
}
