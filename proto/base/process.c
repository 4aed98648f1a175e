#include "proto/base/process.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned long long rn_process_start(long long pid) {
  char path[64], text[1024] = "";
  snprintf(path, sizeof path, "/proc/%lld/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  const size_t used = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[used] = '\0';
  const char *at = strrchr(text, ')'); /* skips the name, which may contain any byte */
  char state = 0;
  unsigned long long start = 0;
  if (at == NULL || sscanf(at + 1,
                           " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                           "%*s %*s %llu",
                           &state, &start) != 2) {
    return 0;
  }
  return state == 'Z' || state == 'X' ? 0 : start;
}

/* Writes "boot id/PID namespace", or "-" if one of the two is unknown. */
static void name_kernel(char *text, size_t bytes) {
  char boot[64] = "", space[64] = "";
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
  const bool known = file != NULL && fscanf(file, "%63s", boot) == 1;
  if (file != NULL) fclose(file);
  const ssize_t used = readlink("/proc/self/ns/pid", space, sizeof space - 1);
  if (known && used > 0) {
    space[used] = '\0';
    snprintf(text, bytes, "%s/%s", boot, space);
  } else {
    snprintf(text, bytes, "-");
  }
}

rn_process rn_process_self(void) {
  rn_process self = {.pid = getpid()};
  if (gethostname(self.host, sizeof self.host - 1) != 0 || self.host[0] == '\0') {
    snprintf(self.host, sizeof self.host, "unknown");
  }
  name_kernel(self.kernel, sizeof self.kernel);
  self.start = rn_process_start(self.pid);
  return self;
}

bool rn_process_is_local(const rn_process *other) {
  char kernel[RN_PROCESS_TEXT_BYTES];
  name_kernel(kernel, sizeof kernel);
  return strcmp(kernel, "-") != 0 && strcmp(kernel, other->kernel) == 0;
}

bool rn_process_is_alive(const rn_process *other) {
  return other->start != 0 && rn_process_start(other->pid) == other->start;
}
