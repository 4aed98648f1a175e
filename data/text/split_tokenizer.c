#include "data/text/split_tokenizer.h"

#include <stdbool.h>
#include <string.h>

#include "data/tokenizer/bytes.h"

/* True if the tokenizer has a file. In that case `name` begins with the kind of the tokenizer. */
static bool has_file(const char *name) {
  static const char *const kinds[] = {"tiktoken:", "hf:", "spm:"};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strncmp(name, kinds[i], strlen(kinds[i])) == 0) return true;
  }
  return false;
}

rn_status rn_split_tokenizer_file(rn_err *err, const rn_split *split, Retnet__Tokenizer **out) {
  const Retnet__ShardHeader *header = rn_split_header(split);
  const rn_path folder = rn_path_folder(split->shard[0].file.path);
  const rn_path path = rn_path_join(folder.text, RN_SPLIT_TOKENIZER_FILE);
  *out = NULL;
  if (!has_file(header->tokenizer)) return RN_OK;
  if (split->tokenizer_file != NULL) {
    return rn_tokenizer_file_unpack(err, path.text, split->tokenizer_file,
                                    split->tokenizer_file_bytes, header->tokenizer_hash, out);
  }
  return rn_fail(err, RN_ERR_NOT_FOUND,
                 "%s is missing: the tokens were made with tokenizer %s, whose file must be in the "
                 "folder of the shards; copy it from the original folder, or build the data again",
                 path.text, header->tokenizer);
}

rn_status rn_split_tokenizer(rn_err *err, const rn_split *split, rn_tokenizer **out) {
  Retnet__Tokenizer *file = NULL;
  const char *name = rn_split_header(split)->tokenizer;
  RN_TRY(err, rn_split_tokenizer_file(err, split, &file));
  if (file == NULL && strcmp(name, RN_BYTES_NAME) != 0) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "%s: the data folder contains no tokenizer (its shards name tokenizer %s), so its tokens "
        "cannot be decoded",
        split->shard[0].file.path, name);
  }
  const rn_status status = rn_tokenizer_create(err, file, out);
  rn_tokenizer_file_free(file);
  return status;
}
