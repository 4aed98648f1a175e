/* Checks that only one rank prints log lines, and that they go to the stream that JSON output
 * does not use. */
#include "proto/base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/cli/version.h"
#include "tests/support/check.h"

enum { TEXT_BYTES = 1024 };

static void say_everything(void) {
  const rn_err err = {.status = RN_ERR_IO, .text = "disk full"};
  rn_log_progress("half done");
  rn_log_info("step %d", 7);
  rn_log_warn("no val");
  rn_log_error("retnet-test", &err);
  fflush(stdout);
}

/* Redirects one of the two streams to a file, and copies to `text` what say_everything() writes to
 * it. */
static void capture(FILE *stream, bool quiet, bool json, char text[TEXT_BYTES]) {
  FILE *file = tmpfile();
  const int kept = dup(fileno(stream));
  fflush(stream);
  if (!CHECK(file != NULL && kept >= 0 && dup2(fileno(file), fileno(stream)) >= 0)) return;
  rn_log_setup(quiet, json);
  say_everything();
  fflush(stream);
  dup2(kept, fileno(stream));
  close(kept);
  rewind(file);
  text[fread(text, 1, TEXT_BYTES - 1, file)] = '\0';
  fclose(file);
}

static void check_capture(FILE *stream, bool quiet, bool json, const char *wanted) {
  char text[TEXT_BYTES] = "";
  capture(stream, quiet, json, text);
  if (!CHECK(strcmp(text, wanted) == 0)) fprintf(stderr, "got \"%s\"\n", text);
}

static void the_version_names_its_build(void) {
  char *text = NULL;
  size_t bytes = 0;
  const char *const lines[] = {"MPI: none"};
  FILE *file = open_memstream(&text, &bytes);
  rn_version_print(file, "retnet-test command", lines, 1);
  fclose(file);
  const char *wanted[] = {"retnet-test 0", "git ", "compiler: ", "flags: ", "\nMPI: none\n"};
  for (int i = 0; i < 5; i++) CHECK(strstr(text, wanted[i]) != NULL);
  CHECK(strncmp(text + strlen("retnet-test "), rn_version_text(),
                strcspn(rn_version_text(), ",")) == 0);
  CHECK(strlen(rn_version_build_id()) == 40);
  CHECK(strspn(rn_version_build_id(), "0123456789abcdef") == 40);
  free(text);
}

int main(void) {
  check_capture(stdout, false, false, "step 7\n");
  check_capture(stderr, false, false, "warning: no val\nretnet-test: disk full\n");
  check_capture(stdout, false, true, "");
  check_capture(stderr, false, true, "step 7\nwarning: no val\nretnet-test: disk full\n");
  check_capture(stdout, true, false, "");
  check_capture(stderr, true, false, "retnet-test: disk full\n");
  the_version_names_its_build();
  return check_result();
}
