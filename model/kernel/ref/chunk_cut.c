/* Finds the first and the last token of a chunk that begin a document. */
#include "model/kernel/kernels.h"

void rn_chunk_cut(rn_chunk *chunk) {
  chunk->lead = chunk->tokens;
  chunk->last = 0;
  for (int i = chunk->tokens - 1; i >= 0; i--) {
    if (chunk->doc_position[i] != 0) continue;
    if (chunk->lead == chunk->tokens) chunk->last = i;
    chunk->lead = i;
  }
}
