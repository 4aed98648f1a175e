#include "model/kernel/gemm_pack.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* Maximum number of elements along k in one piece (rn_gemm_pack_piece); a multiple of
 * RN_PACK_SUM. */
enum { PIECE_SUM = 256 };

/* Returns the row stride of a transposed weight with rows of n elements. Rows whose size is a
 * multiple of a page are padded; without padding, the elements of a column would be in only a few
 * cache sets. */
static int transposed_ld(int n) {
  return rn_row_distance(n, false);
}

int64_t rn_gemm_pack_elements(rn_gemm_kind kind, int n, int k, bool bf16) {
  const rn_gemm_backend *table = rn_gemm_backend_in_use();
  assert(kind == RN_GEMM_NT || kind == RN_GEMM_NN);
  if (bf16) {
    return table->bf16_packed == NULL ? 0
                                      : rn_round_up(n, RN_PACK_COLS) * rn_round_up(k, RN_PACK_SUM);
  }
  return kind == RN_GEMM_NT && table->transposes != NULL && table->transposes()
             ? (int64_t)k * transposed_ld(n)
             : 0;
}

static int sum_pieces(const rn_packed_weight *p) {
  return (p->k + PIECE_SUM - 1) / PIECE_SUM;
}

int rn_gemm_pack_pieces(const rn_packed_weight *p) {
  if (p->packed.at == NULL) return 0;
  return (p->n + RN_PACK_COLS - 1) / RN_PACK_COLS * sum_pieces(p);
}

/* ---- rn_real: transposed ---- */

enum { BLOCK = 16 }; /* elements of a cache line */

static void transpose_block(int rows, int cols, const rn_real *from, int64_t ld_from, rn_real *to,
                            int64_t ld_to) {
  for (int l = 0; l < cols; l++) {
    for (int j = 0; j < rows; j++) to[l * ld_to + j] = from[j * ld_from + l];
  }
}

static void transpose(const rn_packed_weight *p, rn_range cols, rn_range sum) {
  const int64_t ld = transposed_ld(p->n);
  for (int64_t j = cols.begin; j < cols.end; j += BLOCK) {
    for (int64_t l = sum.begin; l < sum.end; l += BLOCK) {
      const rn_real *from = rn_array_reals(p->w.x) + j * p->w.ld + l;
      rn_real *to = rn_array_reals(p->packed) + l * ld + j;
      const int64_t rows = rn_smaller(BLOCK, cols.end - j), width = rn_smaller(BLOCK, sum.end - l);
      if (rows == BLOCK && width == BLOCK) {
        transpose_block(BLOCK, BLOCK, from, p->w.ld, to, ld);
      } else {
        transpose_block((int)rows, (int)width, from, p->w.ld, to, ld);
      }
    }
  }
}

/* ---- bf16: panels ---- */

static rn_bf16 *panel_at(const rn_packed_weight *p, int64_t col) {
  return rn_array_bf16s(p->packed) +
         col / RN_PACK_COLS * RN_PACK_COLS * rn_round_up(p->k, RN_PACK_SUM);
}

/* Packs RN_PACK_SUM elements along k, as pairs (l, l + 1), for all columns of a panel. */
static void pack_any(const rn_packed_weight *p, int64_t col, int64_t from, rn_bf16 *to) {
  const rn_bf16 *w = rn_array_bf16s(p->w.x);
  for (int64_t l = 0; l < RN_PACK_SUM; l++) {
    for (int64_t j = 0; j < RN_PACK_COLS; j++) {
      const bool inside = from + l < p->k && col + j < p->n;
      const int64_t at =
          p->kind == RN_GEMM_NT ? (col + j) * p->w.ld + from + l : (from + l) * p->w.ld + col + j;
      to[l / 2 * 2 * RN_PACK_COLS + 2 * j + l % 2] = inside ? w[at] : (rn_bf16){0};
    }
  }
}

/* Does the same as pack_any for a block that is entirely inside the weight; `w` points to the first
 * element of the block. */
static void pack_nt(const rn_bf16 *w, int64_t ld, rn_bf16 *to) {
  for (int j = 0; j < RN_PACK_COLS; j++) {
    for (int l = 0; l < RN_PACK_SUM; l += 2) {
      memcpy(&to[l * RN_PACK_COLS + 2 * j], &w[j * ld + l], 2 * sizeof *w);
    }
  }
}

static void pack_nn(const rn_bf16 *w, int64_t ld, rn_bf16 *to) {
  for (int l = 0; l < RN_PACK_SUM; l += 2) {
    const rn_bf16 *even = w + l * ld, *odd = even + ld;
    rn_bf16 *pairs = to + l * RN_PACK_COLS;
    for (int j = 0; j < RN_PACK_COLS; j++) {
      pairs[2 * j] = even[j];
      pairs[2 * j + 1] = odd[j];
    }
  }
}

static void pack_panel(const rn_packed_weight *p, int64_t col, rn_range sum) {
  rn_bf16 *panel = panel_at(p, col);
  for (int64_t l = sum.begin; l < sum.end; l += RN_PACK_SUM) {
    rn_bf16 *to = panel + l * RN_PACK_COLS;
    const rn_bf16 *w = rn_array_bf16s(p->w.x);
    if (col + RN_PACK_COLS > p->n || l + RN_PACK_SUM > p->k) {
      pack_any(p, col, l, to);
    } else if (p->kind == RN_GEMM_NT) {
      pack_nt(w + col * p->w.ld + l, p->w.ld, to);
    } else {
      pack_nn(w + l * p->w.ld + col, p->w.ld, to);
    }
  }
}

void rn_gemm_pack_piece(const rn_packed_weight *p, int piece) {
  const int64_t col = (int64_t)(piece / sum_pieces(p)) * RN_PACK_COLS;
  const int64_t from = (int64_t)(piece % sum_pieces(p)) * PIECE_SUM;
  const rn_range sum = {from, rn_smaller(from + PIECE_SUM, p->k)};
  if (p->packed.bf16) {
    pack_panel(p, col, sum);
  } else {
    transpose(p, (rn_range){col, rn_smaller(col + RN_PACK_COLS, p->n)}, sum);
  }
}

/* ---- products ---- */

void rn_gemm_packed(const rn_packed_weight *p, int rows, rn_range cols, rn_matrix x, rn_real beta,
                    rn_matrix y) {
  const int width = (int)rn_range_count(cols);
  assert(p->packed.at != NULL && x.x.bf16 == p->packed.bf16 && cols.end <= p->n);
  if (p->packed.bf16) {
    const rn_array panel = rn_bf16s(panel_at(p, cols.begin));
    rn_gemm(RN_GEMM_PACKED, rows, width, p->k, x.x, x.ld, panel, cols.begin % RN_PACK_COLS, beta,
            y.x, y.ld);
  } else {
    rn_gemm(RN_GEMM_NN, rows, width, p->k, x.x, x.ld, rn_array_from(p->packed, cols.begin),
            transposed_ld(p->n), beta, y.x, y.ld);
  }
}
