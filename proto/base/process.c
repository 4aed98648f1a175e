#include "proto/base/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Reads the state and the start time of a process; returns false if they cannot be read. */
static bool read_stat(long long pid, char *state, unsigned long long *start) {
  char path[64], text[1024] = "";
  snprintf(path, sizeof path, "/proc/%lld/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return false;
  const size_t used = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[used] = '\0';
  const char *at = strrchr(text, ')'); /* skips the name, which may contain any byte */
  return at != NULL && sscanf(at + 1,
                              " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                              "%*s %*s %llu",
                              state, start) == 2;
}

static bool is_dead(char state) {
  return state == 'Z' || state == 'X';
}

unsigned long long rn_process_start(long long pid) {
  char state;
  unsigned long long start;
  return read_stat(pid, &state, &start) && !is_dead(state) ? start : 0;
}

bool rn_process_has_ended(long long pid, unsigned long long start) {
  char state;
  unsigned long long now;
  if (read_stat(pid, &state, &now)) return is_dead(state) || (start != 0 && now != start);
  return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
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
