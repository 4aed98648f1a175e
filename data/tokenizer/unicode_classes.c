#include "data/tokenizer/unicode_classes.h"

#include <string.h>

#include "data/tokenizer/unicode16.inc"

const rn_unicode_class *rn_unicode_class_find(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
    if (strlen(classes[i].name) == length && memcmp(classes[i].name, name, length) == 0) {
      return &classes[i];
    }
  }
  return NULL;
}

bool rn_unicode_class_has(const rn_unicode_class *set, uint32_t code) {
  size_t low = 0, high = set->ranges;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (code < set->range[middle].first) {
      high = middle;
    } else if (code > set->range[middle].last) {
      low = middle + 1;
    } else {
      return true;
    }
  }
  return false;
}
