#include "model/ops/residual.h"

#include <stddef.h>

#include "proto/base/range.h"
#include "proto/base/span.h"

/* Processes a few rows, which stay in cache while dropout, the sum and the norm are computed. */
static void process_rows(const rn_residual *r, const rn_real *params, const rn_unit *unit,
                         int width, rn_range rows) {
  const int64_t begin = rows.begin * width, end = rows.end * width;
  if (r->dropout != NULL) rn_dropout_range(*r->dropout, unit, width, rows, r->branch);
#pragma omp simd
  for (int64_t i = begin; i < end; i++) r->sum[i] = r->factor * r->x[i] + r->branch[i];
  if (r->norm != NULL) rn_norm_forward_range(r->norm, params, rows, r->sum, r->y, r->stat);
}

void rn_residual_forward(const rn_residual *residual, const rn_real *params, const rn_unit *unit,
                         int width) {
  enum { CACHED_ROWS = 8 };
  const int64_t rows = (int64_t)unit->sequences * unit->tokens;
#pragma omp parallel
  {
    const double begin_s = rn_span_task_begin();
#pragma omp for schedule(static) nowait
    for (int64_t row = 0; row < rows; row += CACHED_ROWS) {
      process_rows(residual, params, unit, width,
                   (rn_range){row, rn_smaller(row + CACHED_ROWS, rows)});
    }
    rn_span_task_end(begin_s);
  }
}
