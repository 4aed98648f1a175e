#include "model/ops/dropout.h"

#include "proto/base/random.h"

enum { CHANNELS_A_CALL = 4 };

static void drop_row(rn_random_key key, uint64_t position, double p, int width, rn_real *row) {
  const uint64_t threshold = (uint64_t)(p * 0x1p32);
  const rn_real scale = (rn_real)(1 / (1 - p));
  for (int from = 0; from < width; from += CHANNELS_A_CALL) {
    uint32_t draw[CHANNELS_A_CALL];
    rn_random_four(key, position, (uint64_t)(from / CHANNELS_A_CALL), draw);
    int count = width - from < CHANNELS_A_CALL ? width - from : CHANNELS_A_CALL;
    for (int i = 0; i < count; i++) {
      row[from + i] = draw[i] >= threshold ? row[from + i] * scale : 0;
    }
  }
}

void rn_dropout_range(rn_dropout dropout, const rn_unit *unit, int width, rn_range rows,
                      rn_real *x) {
  if (dropout.p == 0) return;
  for (int64_t r = rows.begin; r < rows.end; r++) {
    int64_t sequence = r / unit->tokens, token = r % unit->tokens;
    uint64_t words[] = {dropout.seed, (uint64_t)unit->step, (uint64_t)dropout.layer,
                        (uint64_t)dropout.site, (uint64_t)unit->sequence_index[sequence]};
    rn_random_key key =
        rn_random_key_make(RN_RANDOM_DROPOUT, words, (int)(sizeof words / sizeof words[0]));
    drop_row(key, (uint64_t)(unit->position + token), dropout.p, width, x + r * width);
  }
}

void rn_dropout_rows(rn_dropout dropout, const rn_unit *unit, int width, rn_real *rows) {
  if (dropout.p == 0) return;
  int64_t count = (int64_t)unit->sequences * unit->tokens;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < count; r++) {
    rn_dropout_range(dropout, unit, width, (rn_range){r, r + 1}, rows);
  }
}
