#include "comm/optimizer/gradient_sum.h"

#include <stdint.h>

#include "proto/base/fault.h"

enum { SUM_BLOCK = 4096 }; /* elements summed at a time */

size_t rn_reduce_kind_bytes(rn_reduce_kind kind) {
  return kind == RN_REDUCE_EXACT ? sizeof(int64_t) : sizeof(float);
}

static void add_floats(bool first, int64_t count, const float *addend, float *sum) {
  for (int64_t j = 0; j < count; j++) sum[j] = first ? addend[j] : sum[j] + addend[j];
}

static void add_integers(bool first, int64_t count, const int64_t *addend, int64_t *sum) {
  for (int64_t j = 0; j < count; j++) sum[j] = first ? addend[j] : sum[j] + addend[j];
}

void rn_gradient_sum(rn_reduce_kind kind, int64_t count, const char *const *addend, int addends,
                     char *sum) {
  const int begin = addend[0] == sum ? 1 : 0;
  /* A fault site for tests, which may only delay the sum: the sum itself cannot fail. */
  (void)rn_fault_now("reduce_scatter.sum");
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < count; at += SUM_BLOCK) {
    const int64_t left = count - at, block = left < SUM_BLOCK ? left : SUM_BLOCK;
    const size_t here = (size_t)at * rn_reduce_kind_bytes(kind);
    for (int i = begin; i < addends; i++) {
      if (kind == RN_REDUCE_EXACT) {
        add_integers(i == 0, block, (const int64_t *)(const void *)(addend[i] + here),
                     (int64_t *)(void *)(sum + here));
      } else {
        add_floats(i == 0, block, (const float *)(const void *)(addend[i] + here),
                   (float *)(void *)(sum + here));
      }
    }
  }
}
