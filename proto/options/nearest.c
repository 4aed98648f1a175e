#include "proto/options/nearest.h"

#include <string.h>

enum { NAME_BYTES = 64 };

static int smaller(int a, int b) {
  return a < b ? a : b;
}

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
      row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
    }
  }
  return row[length];
}
