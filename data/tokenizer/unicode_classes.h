/** Character classes of Unicode 16, which the reference tokenizers use: L, Lu, Ll, Lt, Lm, Lo, N, M
 * and White_Space. Source: Unicode Character Database 16.0 (Unicode License v3). */
#ifndef RN_DATA_TOKENIZER_UNICODE_CLASSES_H
#define RN_DATA_TOKENIZER_UNICODE_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rn_code_range {
  uint32_t first, last;
} rn_code_range;

typedef struct rn_unicode_class {
  const char *name;
  const rn_code_range *range; /* [ranges] ascending */
  size_t ranges;
} rn_unicode_class;

/** Returns the class with this name, of `length` bytes, or NULL. */
const rn_unicode_class *rn_unicode_class_find(const char *name, size_t length);

/** True if the class contains the code point. */
bool rn_unicode_class_has(const rn_unicode_class *set, uint32_t code);

#endif
