/* Computes one step of the recurrence: the state after a rank's piece from the state before it. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "comm/scan/scan_ops.h"

float rn_scan_factor(double log_decay) {
  const double factor = exp(log_decay);
  return factor < FLT_MIN ? 0 : (float)factor;
}

void rn_scan_advance(const rn_scan *scan, rn_range elements) {
  for (int64_t at = elements.begin; at < elements.end;) {
    const int64_t head = at / scan->shape.matrix, stop = (head + 1) * scan->shape.matrix;
    const int64_t end = stop < elements.end ? stop : elements.end;
    const float factor = scan->factor[head];
    /* With factor 0, `before` is not read: it may not have arrived yet, or may contain NaN. */
    if (factor == 0 || scan->before == NULL) {
      memcpy(scan->out + at, scan->own + at, (size_t)(end - at) * sizeof *scan->out);
      at = end;
      continue;
    }
    for (; at < end; at++) scan->out[at] = factor * scan->before[at] + scan->own[at];
  }
}

void rn_scan_advance_all(const rn_scan *scan) {
  rn_scan_advance(scan, (rn_range){0, scan->n * scan->shape.matrix});
}
