/* One step of the recurrence, for elements that have come: the state behind a rank's piece. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "comm/scan.h"

float rn_scan_factor(double log_decay) {
  const double factor = exp(log_decay);
  return factor < FLT_MIN ? 0 : (float)factor;
}

void rn_scan_advance(const rn_chain *chain, rn_range elements) {
  for (int64_t at = elements.begin; at < elements.end;) {
    const int64_t head = at / chain->shape.matrix, stop = (head + 1) * chain->shape.matrix;
    const int64_t end = stop < elements.end ? stop : elements.end;
    const float factor = chain->factor[head];
    if (factor == 0 || chain->before == NULL) { /* before may still be on its way, or no number */
      memcpy(chain->out + at, chain->own + at, (size_t)(end - at) * sizeof *chain->out);
      at = end;
      continue;
    }
    for (; at < end; at++) chain->out[at] = factor * chain->before[at] + chain->own[at];
  }
}

void rn_scan_advance_all(const rn_chain *chain) {
  rn_scan_advance(chain, (rn_range){0, chain->n * chain->shape.matrix});
}
