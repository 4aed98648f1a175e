#include "data/tokenizer/hf_compose.h"

/* Returns NULL if out of memory, like the other functions of this file. */
static json_t *added_tokens(json_t *special) {
  const char *name;
  json_t *id, *added = json_array();
  int failed = 0;
  json_object_foreach(special, name, id) {
    failed |=
        json_array_append_new(added, json_pack("{s:O, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id,
                                               "content", name, "single_word", 0, "lstrip", 0,
                                               "rstrip", 0, "normalized", 0, "special", 1));
  }
  if (failed == 0) return added;
  json_decref(added);
  return NULL;
}

static json_t *byte_level(bool prefix_space, bool regex) {
  return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                   (int)prefix_space, "trim_offsets", 1, "use_regex", (int)regex);
}

static json_t *pre_tokenizer(const char *pattern) {
  if (pattern == NULL) return byte_level(false, true);
  return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers",
                   "type", "Split", "pattern", "Regex", pattern, "behavior", "Isolated", "invert",
                   0, byte_level(false, false));
}

char *rn_hf_compose(const rn_hf_fields *p) {
  json_t *model = json_pack(
      "{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout", "unk_token",
      "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
      "ignore_merges", (int)p->whole_first, "vocab", p->vocab, "merges", p->merges);
  json_t *whole = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0",
                            "truncation", "padding", "added_tokens", added_tokens(p->special),
                            "normalizer", "pre_tokenizer", pre_tokenizer(p->pattern),
                            "post_processor", "decoder", byte_level(true, true), "model", model);
  char *text = whole != NULL ? json_dumps(whole, JSON_COMPACT) : NULL;
  json_decref(whole);
  return text;
}
