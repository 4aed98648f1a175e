/* Reports that this build has no sentencepiece library. */
#include "data/tokenizer/file_content.h"
#include "data/tokenizer/spm.h"

rn_status rn_spm_read(rn_err *err, const char *path, Retnet__Tokenizer *file) {
  return rn_tokenizer_load(err, path, RN_CONTENT_SENTENCEPIECE, file);
}

rn_status rn_spm_create(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                        rn_tokenizer **out) {
  (void)name;
  (void)hash;
  (void)out;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "%s: this build has no sentencepiece; install libsentencepiece-dev and a C++ "
                 "compiler, and build retnet again",
                 file->file_name);
}
