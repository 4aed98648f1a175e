#include "trainer/generate/stop_strings.h"

#include <string.h>

size_t rn_stop_strings_find(rn_stop_strings stops, const char *text, size_t count, size_t from) {
  for (size_t at = from; at < count; at++) {
    for (int i = 0; i < stops.count; i++) {
      const size_t length = strlen(stops.string[i]);
      if (length <= count - at && memcmp(text + at, stops.string[i], length) == 0) return at;
    }
  }
  return count;
}

static size_t open_end(const char *string, const char *text, size_t count) {
  size_t length = strlen(string) - 1;
  if (length > count) length = count;
  while (length > 0 && memcmp(text + count - length, string, length) != 0) length--;
  return length;
}

size_t rn_stop_strings_open_end(rn_stop_strings stops, const char *text, size_t count) {
  size_t longest = 0;
  for (int i = 0; i < stops.count; i++) {
    const size_t length = open_end(stops.string[i], text, count);
    if (length > longest) longest = length;
  }
  return longest;
}

size_t rn_stop_strings_longest(rn_stop_strings stops) {
  size_t longest = 0;
  for (int i = 0; i < stops.count; i++) {
    const size_t length = strlen(stops.string[i]);
    if (length > longest) longest = length;
  }
  return longest;
}
