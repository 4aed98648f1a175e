#include "trainer/bench/bench_counts.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static bool has(const rn_bench_counts *c, long number) {
  for (int i = 0; i < c->count; i++) {
    if (c->value[i] == number) return true;
  }
  return false;
}

rn_status rn_bench_counts_parse(rn_err *err, const char *option, const char *text,
                                rn_bench_counts *out) {
  const char *rest = text;
  out->count = 0;
  while (rest != NULL) {
    char *end = NULL;
    const bool digit = *rest >= '0' && *rest <= '9';
    const long number = digit ? strtol(rest, &end, 10) : 0;
    if (out->count == RN_BENCH_MAX_COUNTS || number < 1 || number > INT32_MAX ||
        (*end != ',' && *end != '\0') || has(out, number)) {
      return rn_fail(err, RN_ERR_USAGE,
                     "%s %s: expected up to %d distinct positive numbers, such as 1,2,4", option,
                     text, RN_BENCH_MAX_COUNTS);
    }
    out->value[out->count++] = (int)number;
    rest = *end == ',' ? end + 1 : NULL;
  }
  return RN_OK;
}

int rn_bench_counts_max(const rn_bench_counts *c) {
  int max = 0;
  for (int i = 0; i < c->count; i++) max = c->value[i] > max ? c->value[i] : max;
  return max;
}
