#include "proto/base/affinity.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/range.h"

static rn_mask launcher, claimed;
static bool is_known, is_claimed;

bool rn_mask_has(const rn_mask *mask, int core) {
  return CPU_ISSET_S((size_t)core, RN_MASK_BYTES, mask->set);
}

void rn_mask_add(rn_mask *mask, int core) {
  CPU_SET_S((size_t)core, RN_MASK_BYTES, mask->set);
}

int rn_mask_count(const rn_mask *mask) {
  return CPU_COUNT_S(RN_MASK_BYTES, mask->set);
}

bool rn_mask_overlaps(const rn_mask *a, const rn_mask *b) {
  rn_mask both;
  CPU_AND_S(RN_MASK_BYTES, both.set, a->set, b->set);
  return rn_mask_count(&both) > 0;
}

void rn_mask_text(const rn_mask *mask, char *text, size_t bytes) {
  size_t used = 0;
  if (bytes > 0) text[0] = '\0';
  for (int first = 0; first < RN_MASK_CORES && used < bytes; first++) {
    if (!rn_mask_has(mask, first)) continue;
    int last = first;
    while (last + 1 < RN_MASK_CORES && rn_mask_has(mask, last + 1)) last++;
    const char *comma = used > 0 ? "," : "";
    const int added = first == last
                          ? snprintf(text + used, bytes - used, "%s%d", comma, first)
                          : snprintf(text + used, bytes - used, "%s%d-%d", comma, first, last);
    used += added > 0 ? (size_t)added : bytes;
    first = last;
  }
}

/* The sanitizers must not instrument this function, because it is called before they are
 * initialized. */
__attribute__((no_sanitize("address", "undefined"))) void rn_affinity_remember(void) {
  is_known = sched_getaffinity(0, RN_MASK_BYTES, launcher.set) == 0;
}

/* The functions in .preinit_array run before the constructors of all libraries. */
__attribute__((section(".preinit_array"),
               used)) static void (*const remember)(void) = rn_affinity_remember;

bool rn_affinity_launcher(rn_mask *out) {
  if (!is_known) rn_affinity_remember();
  *out = launcher;
  return is_known;
}

void rn_affinity_restore(void) {
  if (is_known) sched_setaffinity(0, RN_MASK_BYTES, launcher.set);
}

/* ---- cores for threads ---- */

typedef enum { OWN, OTHER_CORE, ANY } choice;

/* Returns the first core of the mask that is not taken, or -1 if there is none. With OTHER_CORE,
 * also skips cores whose physical core is busy. */
static int free_core(const rn_mask *mask, const int *sibling, const rn_mask *taken,
                     const rn_mask *busy, choice how) {
  for (int c = 0; c < RN_MASK_CORES; c++) {
    if (!rn_mask_has(mask, c) || rn_mask_has(taken, c)) continue;
    if (how == ANY || !rn_mask_has(busy, sibling[c])) return c;
  }
  return -1;
}

bool rn_affinity_assign(const rn_mask *mask, const int *sibling, const int *running, int threads,
                        int *core) {
  rn_mask taken = {0}, busy = {0};
  if (threads > rn_mask_count(mask)) return false;
  for (int t = 0; t < threads; t++) core[t] = -1;
  for (choice how = OWN; how <= ANY; how++) {
    for (int t = 0; t < threads; t++) {
      if (core[t] >= 0) continue;
      int found = running[t];
      if (how != OWN) found = free_core(mask, sibling, &taken, &busy, how);
      if (found < 0 || found >= RN_MASK_CORES || !rn_mask_has(mask, found)) continue;
      if (rn_mask_has(&taken, found)) continue;
      if (how != ANY && rn_mask_has(&busy, sibling[found])) continue;
      core[t] = found;
      rn_mask_add(&taken, found);
      rn_mask_add(&busy, sibling[found]);
    }
  }
  return true;
}

const char *rn_affinity_folder(void) {
  const char *folder = getenv("RETNET_CPU_FOLDER");
  return folder != NULL ? folder : "/sys/devices/system/cpu";
}

/* Returns the first number in the file that lists the siblings of a core; -1 if the file cannot be
 * read. Siblings are the hardware threads of one physical core. */
static int first_sibling(const char *folder, int core) {
  char path[512];
  int first = -1;
  snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", folder, core);
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  if (fscanf(file, "%d", &first) != 1) first = -1;
  fclose(file);
  return first < RN_MASK_CORES ? first : -1;
}

void rn_affinity_siblings(const char *folder, const rn_mask *mask, int *sibling) {
  for (int c = 0; c < RN_MASK_CORES; c++) {
    const int first = rn_mask_has(mask, c) ? first_sibling(folder, c) : -1;
    sibling[c] = first >= 0 ? first : c;
  }
}

int rn_affinity_physical(const rn_mask *mask, const int *sibling) {
  rn_mask seen = {0};
  for (int c = 0; c < RN_MASK_CORES; c++) {
    if (rn_mask_has(mask, c)) rn_mask_add(&seen, sibling[c]);
  }
  return rn_mask_count(&seen);
}

rn_mask rn_affinity_divide(const rn_mask *mask, const int *sibling, int parts, int index) {
  const int physical = rn_affinity_physical(mask, sibling);
  /* sets of physical cores (seen, chosen) and of cores (part) */
  rn_mask seen = {0}, chosen = {0}, part = {0};
  if (physical < parts) return part;
  const rn_range own = rn_cut(physical, parts, index);
  for (int c = 0, next = 0; c < RN_MASK_CORES; c++) {
    if (!rn_mask_has(mask, c)) continue;
    const int core = sibling[c];
    if (!rn_mask_has(&seen, core)) {
      if (own.begin <= next && next < own.end) rn_mask_add(&chosen, core);
      rn_mask_add(&seen, core);
      next++;
    }
    if (rn_mask_has(&chosen, core)) rn_mask_add(&part, c);
  }
  return part;
}

void rn_affinity_claim(const rn_mask *cores) {
  is_claimed = cores != NULL;
  if (is_claimed) claimed = *cores;
}

/* Returns the launcher's cores without those that compute threads have claimed (rn_affinity_claim);
 * all of the launcher's cores if none would be left. */
static rn_mask free_cores(const rn_mask *all) {
  rn_mask kept, rest;
  if (!is_claimed) return *all;
  CPU_AND_S(RN_MASK_BYTES, kept.set, all->set, claimed.set);
  CPU_XOR_S(RN_MASK_BYTES, rest.set, all->set, kept.set);
  return rn_mask_count(&rest) > 0 ? rest : *all;
}

static int create_on_free_cores(pthread_t *thread, void *(*start)(void *), void *argument) {
  pthread_attr_t attributes;
  rn_mask all;
  if (!rn_affinity_launcher(&all)) return pthread_create(thread, NULL, start, argument);
  const rn_mask cores = free_cores(&all);
  int code = pthread_attr_init(&attributes);
  if (code != 0) return code;
  pthread_attr_setaffinity_np(&attributes, RN_MASK_BYTES, cores.set);
  code = pthread_create(thread, &attributes, start, argument);
  pthread_attr_destroy(&attributes);
  /* pthread_create fails with this mask if the system no longer allows these cores, for example
   * because a cpuset has shrunk. The thread is then created without a mask. */
  return code == 0 ? 0 : pthread_create(thread, NULL, start, argument);
}

int rn_thread_create(pthread_t *thread, void *(*start)(void *), void *argument) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int code = create_on_free_cores(thread, start, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return code;
}
