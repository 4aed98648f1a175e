#include "proto/base/progress.h"

#include <string.h>
#include <time.h>

#include "proto/base/fault.h"

/* After each rn_progress_poll, the process is considered to be waiting until POLL_NS have passed.
 * If it does not poll again in this time, it computes or hangs. */
enum { POLL_NS = 250000000 };

static rn_progress own;
static _Atomic(rn_progress *) at = &own;

static rn_progress *marks_of_process(void) {
  return atomic_load_explicit(&at, memory_order_relaxed);
}

int64_t rn_progress_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void rn_progress_use(rn_progress *marks) {
  atomic_store(&at, marks != NULL ? marks : &own);
}

static void mark(rn_progress *p) {
  atomic_store_explicit(&p->last_ns, rn_progress_now_ns(), memory_order_relaxed);
  atomic_fetch_add_explicit(&p->units, 1, memory_order_relaxed);
}

void rn_progress_phase(const char *operation) {
  rn_progress *p = marks_of_process();
  uint64_t words[RN_PROGRESS_NAME_WORDS] = {0};
  memcpy(words, operation, strnlen(operation, sizeof words - 1));
  for (int i = 0; i < RN_PROGRESS_NAME_WORDS; i++) {
    atomic_store_explicit(&p->name[i], words[i], memory_order_relaxed);
  }
  mark(p);
  (void)rn_fault_now(operation);
}

void rn_progress_begin(const char *operation, int64_t step) {
  atomic_store_explicit(&marks_of_process()->step, step, memory_order_relaxed);
  rn_progress_phase(operation);
}

void rn_progress_unit(void) {
  mark(marks_of_process());
  (void)rn_fault_now("unit");
}

int64_t rn_progress_units(void) {
  return atomic_load(&marks_of_process()->units);
}

void rn_progress_wait(bool waits) {
  atomic_store_explicit(&marks_of_process()->waits, waits, memory_order_relaxed);
}

void rn_progress_poll(void) {
  atomic_store_explicit(&marks_of_process()->polled_ns, rn_progress_now_ns(), memory_order_relaxed);
}

void rn_progress_name(rn_progress *marks, char name[RN_PROGRESS_NAME_BYTES]) {
  uint64_t words[RN_PROGRESS_NAME_WORDS];
  for (int i = 0; i < RN_PROGRESS_NAME_WORDS; i++) words[i] = atomic_load(&marks->name[i]);
  memcpy(name, words, sizeof words);
  name[RN_PROGRESS_NAME_BYTES - 1] = '\0';
}

bool rn_progress_is_waiting(rn_progress *marks) {
  return atomic_load(&marks->waits) != 0 ||
         rn_progress_now_ns() - atomic_load(&marks->polled_ns) < POLL_NS;
}
