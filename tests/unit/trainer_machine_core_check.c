/* Checks that a launch with too few cores for its threads gets a warning with the fix, and that
 * other launches get none. */
#include "trainer/machine/core_check.h"

#include <string.h>

#include "tests/support/check.h"

static char text[300];

/* Returns whether there is a warning for a node of `offered` cores where each of `ranks` ranks is
 * bound to `each` cores (0: to all cores). */
static bool find(int offered, int ranks, int each, int threads, bool given) {
  const int used = each == 0 || ranks * each > offered ? offered : ranks * each;
  const rn_cores cores = {.cores = each == 0 ? offered : each,
                          .sharing = each == 0 ? ranks : 1,
                          .ranks = ranks,
                          .used = used,
                          .offered = offered};
  return rn_core_check_find(cores, threads, given, text, sizeof text);
}

int main(void) {
  CHECK(find(8, 1, 1, 4, true) && strstr(text, "--bind-to none") && strstr(text, "PE=8"));
  CHECK(find(8, 2, 1, 4, true) && strstr(text, "PE=4"));
  CHECK(find(8, 2, 1, 1, false) && strstr(text, "idle") && strstr(text, "PE=4"));
  CHECK(find(8, 4, 1, 4, true) && strstr(text, "parallel.threads") && strstr(text, "to 2"));
  CHECK(find(2, 2, 0, 2, true) && strstr(text, "parallel.threads") && strstr(text, "to 1"));
  CHECK(!find(8, 2, 1, 1, true)); /* the user asked for one thread */
  CHECK(!find(8, 8, 1, 1, false));
  CHECK(!find(8, 2, 4, 4, true));
  CHECK(!find(8, 2, 0, 4, true));
  CHECK(!find(8, 3, 0, 2, false));
  /* Two threads may use the two hardware threads of a core. */
  rn_cores hyper = {.cores = 8, .hardware_threads = 16, .sharing = 1, .ranks = 1, .used = 8};
  CHECK(!rn_core_check_find(hyper, 16, true, text, sizeof text));
  CHECK(rn_core_check_find(hyper, 17, true, text, sizeof text) && strstr(text, "to 8"));
  CHECK(!find(2, 8, 0, 1, true)); /* one thread per rank, unbound: sharing is intended */
  return check_result();
}
