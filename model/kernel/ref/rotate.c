/* Rotates the heads of one row of q or k, with the rotary embedding or back. */
#include "model/kernel/ref/set.h"

static void rotate_pairs(int half_dim, const rn_real *cosine, const rn_real *sine, rn_real sign,
                         rn_real scale, rn_real *x) {
#pragma omp simd
  for (int j = 0; j < half_dim; j++) {
    rn_real c = cosine[j], s = sign * sine[j], a = x[2 * j], b = x[2 * j + 1];
    x[2 * j] = scale * (a * c - b * s);
    x[2 * j + 1] = scale * (b * c + a * s);
  }
}

static void rotate_halves(int half_dim, const rn_real *cosine, const rn_real *sine, rn_real sign,
                          rn_real scale, rn_real *low, rn_real *high) {
#pragma omp simd
  for (int j = 0; j < half_dim; j++) {
    rn_real c = cosine[j], s = sign * sine[j], a = low[j], b = high[j];
    low[j] = scale * (a * c - b * s);
    high[j] = scale * (b * c + a * s);
  }
}

static void rotate(rn_rotary rotary, int heads, int key_width, const rn_real *cosine,
                   const rn_real *sine, rn_real sign, rn_real scale, rn_real *x) {
  int half_dim = key_width / 2;
  for (int h = 0; h < heads; h++, x += key_width) {
    switch (rotary) {
      case RN_ROTARY_TORCHSCALE:
        rotate_pairs(half_dim, cosine, sine, sign, scale, x);
        break;
      case RN_ROTARY_ROPE_HALF:
        rotate_halves(half_dim, cosine, sine, sign, scale, x, x + half_dim);
        break;
      case RN_ROTARY_NONE:
#pragma omp simd
        for (int e = 0; e < key_width; e++) x[e] *= scale;
        break;
    }
  }
}

void RN_SET(rn_enter_rotate)(rn_kernels *table) {
  table->rotate = rotate;
}
