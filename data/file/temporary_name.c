#include "data/file/temporary_name.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "proto/base/process.h"

enum { PLACE_BYTES = 9 };

/*
 * Writes <place> (temporary_name.h). Host name and PID namespace are not enough: hosts may have the
 * same name, and the first PID namespace has the same number on every host. The machine id would
 * not help, because copies of a system may share it. No two hosts share a boot id; but after a
 * restart of the host, files of earlier processes are not recognized, and stay.
 */
static void name_place(const rn_process *self, char place[PLACE_BYTES]) {
  const XXH64_hash_t host = XXH3_64bits(self->host, strlen(self->host));
  const XXH64_hash_t both = XXH3_64bits_withSeed(self->kernel, strlen(self->kernel), host);
  snprintf(place, PLACE_BYTES, "%08x", (unsigned)(both & 0xffffffff));
}

rn_path rn_temporary_name(const char *begin, const char *end) {
  const rn_process self = rn_process_self();
  char place[PLACE_BYTES];
  rn_path path;
  name_place(&self, place);
  snprintf(path.text, sizeof path.text, "%.*s%s-%lld%s", RN_PATH_BYTES - 64, begin, place, self.pid,
           end);
  return path;
}

/* True if `name` is BEGIN<place>-<process id>END and its process has ended. A name with the id of
 * this process is that of an ended process with the same id, because this process has not created
 * such a file yet. */
static bool is_left(const char *name, const char *begin, const char *place, const char *end) {
  const size_t length = strlen(begin);
  char *after;
  if (strncmp(name, begin, length) != 0) return false;
  name += length;
  if (strncmp(name, place, PLACE_BYTES - 1) != 0 || name[PLACE_BYTES - 1] != '-') return false;
  const long long pid = strtoll(name + PLACE_BYTES, &after, 10);
  return pid > 0 && strcmp(after, end) == 0 && (pid == getpid() || rn_process_has_ended(pid, 0));
}

void rn_temporary_remove_left(const char *begin, const char *end) {
  const rn_process self = rn_process_self();
  const rn_path folder = rn_path_folder(begin);
  const char *slash = strrchr(begin, '/');
  const struct dirent *entry;
  char place[PLACE_BYTES];
  /* Without /proc, it cannot be determined which processes have ended. */
  if (self.start == 0 || strchr(self.kernel, '/') == NULL) return;
  DIR *open_folder = opendir(folder.text);
  if (open_folder == NULL) return;
  name_place(&self, place);
  while ((entry = readdir(open_folder)) != NULL) {
    if (!is_left(entry->d_name, slash != NULL ? slash + 1 : begin, place, end)) continue;
    (void)rn_file_remove_tree(NULL, rn_path_join(folder.text, entry->d_name).text);
  }
  closedir(open_folder);
}
