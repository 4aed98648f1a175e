#include "proto/cli/version.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include <yaml.h>

#include "proto/build_info.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif

const char *rn_version_text(void) {
  return RN_BUILD_VERSION " (git " RN_BUILD_GIT_ID "), " COMPILER;
}

void rn_version_print(FILE *file, const char *program, const char *const *lines, int count) {
  const int name = (int)strcspn(program, " ");
  fprintf(file, "%.*s %s (git %s)\n", name, program, RN_BUILD_VERSION, RN_BUILD_GIT_ID);
  fprintf(file, "build: %s\n", rn_version_build_id());
  fprintf(file, "compiler: %s\n", COMPILER);
  fprintf(file, "flags: %s\n", RN_BUILD_FLAGS);
  fprintf(file, "protobuf-c: %s\n", protobuf_c_version());
  fprintf(file, "libyaml: %s\n", yaml_get_version_string());
  for (int i = 0; i < count; i++) fprintf(file, "%s\n", lines[i]);
}
