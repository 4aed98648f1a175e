#include "trainer/cost/loop_time.h"

#include <assert.h>
#include <string.h>

void rn_loop_time_start(rn_loop_time *loop, int threads) {
  assert(threads > 0);
  loop->threads = threads < RN_LOOP_THREADS ? threads : RN_LOOP_THREADS;
  loop->tasks = 0;
  loop->work_s = loop->longest_s = 0;
  memset(loop->free_s, 0, (size_t)loop->threads * sizeof *loop->free_s);
  memset(loop->group_s, 0, sizeof loop->group_s);
}

/* Replaces the smallest time in the heap by `s`, which is not smaller. */
static void replace_first(rn_loop_time *loop, double s) {
  double *heap = loop->free_s;
  int at = 0;
  for (int child; (child = 2 * at + 1) < loop->threads; at = child) {
    if (child + 1 < loop->threads && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= s) break;
    heap[at] = heap[child];
  }
  heap[at] = s;
}

static void count_tasks(rn_loop_time *loop, int64_t tasks, double s) {
  loop->tasks += tasks;
  loop->work_s += (double)tasks * s;
  if (tasks > 0 && s > loop->longest_s) loop->longest_s = s;
}

void rn_loop_time_add(rn_loop_time *loop, double s, int group, int after) {
  double begin_s = loop->free_s[0];
  assert(group < RN_LOOP_GROUPS && after < RN_LOOP_GROUPS);
  if (after >= 0 && loop->group_s[after] > begin_s) begin_s = loop->group_s[after];
  const double end_s = begin_s + s;
  replace_first(loop, end_s);
  if (group >= 0 && end_s > loop->group_s[group]) loop->group_s[group] = end_s;
  count_tasks(loop, 1, s);
}

void rn_loop_time_add_static(rn_loop_time *loop, int64_t tasks, double s) {
  const int64_t most = (tasks + loop->threads - 1) / loop->threads;
  assert(loop->tasks == 0);
  /* It is enough to record the thread with the most tasks, because only the end of the loop is
   * needed. */
  loop->free_s[loop->threads - 1] = (double)most * s;
  count_tasks(loop, tasks, s);
}

double rn_loop_time_end(const rn_loop_time *loop) {
  double end_s = 0;
  for (int t = 0; t < loop->threads; t++) {
    if (loop->free_s[t] > end_s) end_s = loop->free_s[t];
  }
  return end_s;
}
