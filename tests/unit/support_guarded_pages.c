/*
 * Checks that guarded pages detect each access outside a mapping. A process that reads an array
 * that is not mapped, writes to a range that is mapped for reading, or uses a mapping that has
 * ended, must exit with a message that names the array. The same holds if it maps a range outside
 * the array, unmaps a range that is not mapped, or removes an array that is still mapped. Mapped
 * ranges can be used.
 */
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/child.h"
#include "tests/support/guarded_pages.h"

typedef enum {
  NOTHING,
  BEFORE_MAP,
  WRITE_TO_READ,
  AFTER_UNMAP,
  ANOTHER_RANGE,
  OUTSIDE,
  NO_MAP,
  STILL_READ,
  STILL_WRITTEN
} touch;

/* Maps a range of the array and uses it correctly, except for one misuse, which `kind` selects. */
static void use(int kind) {
  rn_err err = {0};
  guarded_set set = {0};
  guarded_array *array = guarded_add(&set, "weights", 1 << 16, sizeof(float));
  const rn_range range = {100, 200};
  volatile float *values = (float *)(void *)array->base;
  if (kind == BEFORE_MAP) values[100] = 1;
  const volatile float *mapped = guarded_map(array, range, RN_ACCESS_WRITE);
  values[150] = 1;
  CHECK(mapped == values + 100 && mapped[50] == 1);
  CHECK(mapped[51] != mapped[51]); /* NaN */
  guarded_unmap(array, range, RN_ACCESS_WRITE);
  guarded_map(array, range, RN_ACCESS_READ);
  CHECK(mapped[50] == 1);
  if (kind == WRITE_TO_READ) values[150] = 2;
  if (kind == ANOTHER_RANGE) values[1 << 15] = 2;
  guarded_unmap(array, range, RN_ACCESS_READ);
  if (kind == AFTER_UNMAP) values[0] = mapped[50];
  if (kind == OUTSIDE) guarded_map(array, (rn_range){-1, 10}, RN_ACCESS_READ);
  if (kind == NO_MAP) guarded_unmap(array, range, RN_ACCESS_READ);
  if (kind == STILL_READ) guarded_map(array, range, RN_ACCESS_READ);
  if (kind == STILL_WRITTEN) guarded_map(array, range, RN_ACCESS_READ_WRITE);
  guarded_remove(&set, &array);
  CHECK_OK(&err, RN_OK);
}

int main(void) {
  static const struct {
    touch kind;
    const char *message;
  } misuse[] = {{OUTSIDE, "weights: the range is not in the array\n"},
                {NO_MAP, "weights: unmapped without a mapping for this\n"},
                {STILL_READ, "weights: destroyed while it was mapped\n"},
                {STILL_WRITTEN, "weights: destroyed while it was mapped\n"}};
  char text[200];
  CHECK_EQUAL(test_child_status(use, NOTHING, text, sizeof text), 0);
  for (int kind = BEFORE_MAP; kind <= ANOTHER_RANGE; kind++) {
    CHECK_EQUAL(test_child_status(use, kind, text, sizeof text), GUARDED_EXIT_STATUS);
    CHECK(strncmp(text, "weights, element ", 17) == 0);
  }
  for (size_t i = 0; i < sizeof misuse / sizeof misuse[0]; i++) {
    CHECK_EQUAL(test_child_status(use, misuse[i].kind, text, sizeof text), GUARDED_EXIT_STATUS);
    CHECK(strcmp(text, misuse[i].message) == 0);
  }
  return check_result();
}
