/** Looks up the merge of two adjacent ids. */
#ifndef RN_DATA_TOKENIZER_BPE_PAIR_H
#define RN_DATA_TOKENIZER_BPE_PAIR_H

#include "data/tokenizer/bpe.h"

#define RN_BPE_NO_RANK UINT32_MAX

/** Returns the slot that holds the pair or, if there is none, a free slot, whose rank is
 * RN_BPE_NO_RANK. */
static inline size_t rn_bpe_pair_slot(const rn_bpe *bpe, int32_t left, int32_t right) {
  const size_t mask = bpe->pair_slots - 1;
  uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9e3779b97f4a7c15);
  hash ^= hash >> 32;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const rn_bpe_pair *p = &bpe->pair[i];
    if (p->rank == RN_BPE_NO_RANK || (p->left == left && p->right == right)) return i;
  }
}

#endif
