#include "tests/support/guarded_pages.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_ARRAYS = 4096 };

/* Arrays of all sets, for the signal handler. */
static guarded_array *known[MAX_ARRAYS];
static int known_count;

static size_t page_bytes(void) {
  return (size_t)sysconf(_SC_PAGESIZE);
}

static void on_touch(int number, siginfo_t *info, void *context) {
  const char *at = info->si_addr;
  char text[160];
  (void)context;
  for (int i = 0; i < known_count; i++) {
    const guarded_array *a = known[i];
    if (at < a->base || at >= a->base + a->bytes) continue;
    const int length =
        snprintf(text, sizeof text, "%s, element %zu: touched while it was not mapped for this\n",
                 a->name, (size_t)(at - a->base) / a->element_bytes);
    if (write(STDERR_FILENO, text, (size_t)length) < 0) _exit(GUARDED_EXIT_STATUS);
    _exit(GUARDED_EXIT_STATUS);
  }
  signal(number, SIG_DFL);
}

/* Reports a use of the array that violates the stage's interface, and ends the process. */
static void fail(const guarded_array *a, const char *what) {
  fprintf(stderr, "%s: %s\n", a->name, what);
  fflush(NULL);
  _exit(GUARDED_EXIT_STATUS);
}

static void watch(guarded_array *array) {
  const struct sigaction action = {.sa_sigaction = on_touch, .sa_flags = SA_SIGINFO};
  if (known_count == 0) sigaction(SIGSEGV, &action, NULL);
  if (known_count == MAX_ARRAYS) abort();
  known[known_count++] = array;
}

static void forget(const guarded_array *array) {
  for (int i = 0; i < known_count; i++) {
    if (known[i] == array) known[i--] = known[--known_count];
  }
}

guarded_array *guarded_add(guarded_set *set, const char *name, int64_t count,
                           size_t element_bytes) {
  const size_t page = page_bytes(), bytes = (size_t)count * element_bytes;
  const size_t pages = bytes / page + 1;
  guarded_array *a = calloc(1, sizeof *a);
  if (a == NULL) abort();
  *a = (guarded_array){.name = name,
                       .bytes = pages * page,
                       .element_bytes = element_bytes,
                       .count = count,
                       .readers = calloc(pages, sizeof *a->readers),
                       .writers = calloc(pages, sizeof *a->writers),
                       .next = set->first};
  a->base = mmap(NULL, a->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (a->base == MAP_FAILED || a->readers == NULL || a->writers == NULL) abort();
  set->first = a;
  watch(a);
  return a;
}

static void check_not_mapped(const guarded_array *a) {
  for (size_t i = 0; i < a->bytes / page_bytes(); i++) {
    if (a->readers[i] + a->writers[i] > 0) fail(a, "destroyed while it was mapped");
  }
}

void guarded_remove(guarded_set *set, guarded_array **array) {
  guarded_array *a = *array;
  if (a == NULL) return;
  check_not_mapped(a);
  for (guarded_array **at = &set->first; *at != NULL; at = &(*at)->next) {
    if (*at != a) continue;
    *at = a->next;
    break;
  }
  forget(a);
  munmap(a->base, a->bytes);
  free(a->readers);
  free(a->writers);
  free(a);
  *array = NULL;
}

static int protection_of(const guarded_array *a, size_t page) {
  if (a->open || a->writers[page] > 0) return PROT_READ | PROT_WRITE;
  return a->readers[page] > 0 ? PROT_READ : PROT_NONE;
}

/* Sets the protection of pages [first, last), with one mprotect per run of pages that need the
 * same protection. */
static void protect(const guarded_array *a, size_t first, size_t last) {
  const size_t page = page_bytes();
  for (size_t from = first, to; from < last; from = to) {
    const int protection = protection_of(a, from);
    for (to = from + 1; to < last && protection_of(a, to) == protection;) to++;
    if (mprotect(a->base + from * page, (to - from) * page, protection) != 0) abort();
  }
}

static void set_open(guarded_set *set, bool open) {
  for (guarded_array *a = set->first; a != NULL; a = a->next) {
    if (a->private_to_mappings) continue;
    a->open = open;
    protect(a, 0, a->bytes / page_bytes());
  }
}

void guarded_open_all(guarded_set *set) {
  set_open(set, true);
}

void guarded_close_all(guarded_set *set) {
  set_open(set, false);
}

static void count_mapping(guarded_array *a, rn_range range, rn_access access, int by) {
  const size_t page = page_bytes();
  if (range.begin < 0 || range.begin > range.end || range.end > a->count) {
    fail(a, "the range is not in the array");
  }
  if (rn_range_count(range) == 0) return;
  const size_t first = (size_t)range.begin * a->element_bytes / page;
  const size_t last = ((size_t)range.end * a->element_bytes - 1) / page + 1;
  for (size_t i = first; i < last; i++) {
    int *mappings = access == RN_ACCESS_READ ? &a->readers[i] : &a->writers[i];
    *mappings += by;
    if (*mappings < 0) fail(a, "unmapped without a mapping for this");
  }
  protect(a, first, last);
}

void *guarded_map(guarded_array *a, rn_range range, rn_access access) {
  char *at = a->base + (size_t)range.begin * a->element_bytes;
  count_mapping(a, range, access, 1);
  if (access == RN_ACCESS_WRITE) {
    memset(at, 0xff, (size_t)rn_range_count(range) * a->element_bytes);
  }
  return at;
}

void guarded_unmap(guarded_array *a, rn_range range, rn_access access) {
  count_mapping(a, range, access, -1);
}
