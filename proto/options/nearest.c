#include "proto/options/nearest.h"

#include <string.h>

#include "proto/base/range.h"

enum { NAME_BYTES = 64 };

int rn_nearest_distance(const char *a, const char *b) {
  int row[NAME_BYTES + 1];
  const int length = (int)strnlen(b, NAME_BYTES);
  for (int j = 0; j <= length; j++) row[j] = j;
  for (int i = 1; a[i - 1] != '\0'; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= length; j++) {
      const int replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = (int)rn_smaller(replaced, rn_smaller(row[j], row[j - 1]) + 1);
    }
  }
  return row[length];
}
