#include "data/file/json_text.h"

#include <stdlib.h>
#include <threads.h>

/* True if an allocation of jansson has failed in this thread since it was set to false. */
static _Thread_local bool failed;

static void *take(size_t bytes) {
  void *memory = malloc(bytes);
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
  json_t *parsed = json_loadb(text, bytes, flags, reason);
  *no_memory = failed;
  if (!failed) return parsed;
  json_decref(parsed);
  return NULL;
}
