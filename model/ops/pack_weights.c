#include "model/ops/pack_weights.h"

#include "proto/base/span.h"

static size_t bytes_of(const rn_packed_weight *p) {
  enum { ALIGNMENT = 64 };
  const bool bf16 = p->w.x.bf16;
  const int64_t elements = rn_gemm_pack_elements(p->kind, p->n, p->k, bf16);
  return (size_t)rn_round_up(elements * (int64_t)rn_element_bytes(bf16), ALIGNMENT);
}

size_t rn_pack_weights_bytes(const rn_packed_weight *weights, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += bytes_of(&weights[i]);
  return bytes;
}

/* Minimum number of rows for which weights are packed. With fewer rows, packing would take more
 * time than it saves. */
enum { MIN_ROWS = 64 };

static bool pays(rn_rows rows) {
  return rows.count >= MIN_ROWS || rows.reduction_block > 0;
}

static void place(rn_packed_weight *weights, int count, char *buffer) {
  for (int i = 0; i < count; i++) {
    const size_t bytes = bytes_of(&weights[i]);
    if (bytes == 0) continue;
    weights[i].packed = (rn_array){buffer, weights[i].w.x.bf16};
    buffer += bytes;
  }
}

static void pack_piece(const rn_packed_weight *weights, int piece) {
  int i = 0;
  for (int pieces; piece >= (pieces = rn_gemm_pack_pieces(&weights[i])); i++) piece -= pieces;
  rn_gemm_pack_piece(&weights[i], piece);
}

void rn_pack_weights(rn_rows rows, rn_packed_weight *weights, int count, void *buffer) {
  int pieces = 0;
  if (buffer == NULL || !pays(rows)) return;
  place(weights, count, buffer);
  for (int i = 0; i < count; i++) pieces += rn_gemm_pack_pieces(&weights[i]);
  if (pieces == 0) return;
#pragma omp parallel for schedule(dynamic)
  for (int piece = 0; piece < pieces; piece++) {
    const double begin_s = rn_span_task_begin();
    pack_piece(weights, piece);
    rn_span_task_end(begin_s);
  }
}
