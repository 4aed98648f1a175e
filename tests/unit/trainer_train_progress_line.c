/* Checks that the progress line shows whole values in order of importance and never uses the
 * last column of the terminal. */
#include "trainer/train/progress_line.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

static rn_progress_values values(void) {
  return (rn_progress_values){120, 1000, 3725, 2.3101, 2.5, 6e-4, 0.41, 5012};
}

static void check_line(const rn_progress_values *v, int columns, const char *want) {
  char text[256];
  rn_progress_line(v, columns, text, sizeof text);
  if (!CHECK(strcmp(text, want) == 0)) fprintf(stderr, "got \"%s\"\n", text);
}

static void values_are_whole(void) {
  rn_progress_values v = values();
  check_line(&v, 1, "");
  check_line(&v, 13, "");
  check_line(&v, 14, "step 120/1000");
  check_line(&v, 27, "step 120/1000  loss 2.3101");
  check_line(&v, 40, "step 120/1000  loss 2.3101  ETA 1:02:05");
  check_line(&v, 60, "step 120/1000  loss 2.3101  ETA 1:02:05  12 %");
  check_line(&v, 61, "step 120/1000  loss 2.3101  ETA 1:02:05  12 %  5012 tokens/s");
  check_line(&v, 200,
             "step 120/1000  loss 2.3101  ETA 1:02:05  12 %  5012 tokens/s  val_loss 2.5000  "
             "lr 6.00e-04  norm 0.410  [###...........................]");
}

static void unknown_values_are_left_out(void) {
  rn_progress_values v = values();
  v.val_loss = v.loss = v.left_s = NAN;
  check_line(&v, 62, "step 120/1000  12 %  5012 tokens/s  lr 6.00e-04  norm 0.410");
  v.left_s = 59.6;
  check_line(&v, 30, "step 120/1000  ETA 1:00  12 %");
}

static void every_width_is_kept(void) {
  const rn_progress_values v = values();
  char text[256];
  for (int columns = 1; columns < 200; columns++) {
    rn_progress_line(&v, columns, text, sizeof text);
    CHECK((int)strlen(text) < columns || columns == 1);
  }
  rn_progress_line(&v, 1000, text, 20);
  CHECK(strlen(text) < 20);
}

int main(void) {
  values_are_whole();
  unknown_values_are_left_out();
  every_width_is_kept();
  return check_result();
}
