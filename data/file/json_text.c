#include "data/file/json_text.h"

#include <stdlib.h>
#include <threads.h>

/* parsing: this thread is in rn_json_parse; failed: an allocation has failed since it began. */
static _Thread_local bool parsing, failed;

/* After a failed allocation, the others of the same text fail too: jansson goes on after a buffer
 * could not grow, and copies a string that has lost its end into a buffer that is too small. */
static void *take(size_t bytes) {
  void *memory = parsing && failed ? NULL : malloc(bytes);
  if (memory == NULL) failed = true;
  return memory;
}

static void watch_allocations(void) {
  json_set_alloc_funcs(take, free);
}

json_t *rn_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *reason,
                      bool *no_memory) {
  static once_flag watched = ONCE_FLAG_INIT;
  call_once(&watched, watch_allocations);
  failed = false;
  parsing = true;
  json_t *parsed = json_loadb(text, bytes, flags, reason);
  parsing = false;
  *no_memory = failed;
  if (!failed) return parsed;
  json_decref(parsed);
  return NULL;
}
