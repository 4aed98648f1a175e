/* Checks that control characters in a name from a file, which a terminal would execute, are
 * replaced in messages, and that all other text is unchanged. */
#include "proto/base/status.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

static void becomes(const char *name, const char *want) {
  rn_err err = {0};
  CHECK(rn_fail(&err, RN_ERR_FORMAT, "%s", name) == RN_ERR_FORMAT);
  if (!CHECK(strcmp(err.text, want) == 0)) fprintf(stderr, "got \"%s\"\n", err.text);
}

int main(void) {
  becomes("two\nlines\tand %s", "two\nlines\tand %s");
  becomes("gr\xc3\xbc\xc3\x9f \xe2\x96\x81 \xc2\xa0", "gr\xc3\xbc\xc3\x9f \xe2\x96\x81 \xc2\xa0");
  becomes("\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?");
  becomes("a\rb\x7f\x08", "a?b??");
  becomes(
      "\xc2\x9b"
      "2J \xc2",
      "??2J \xc2");
  return check_result();
}
