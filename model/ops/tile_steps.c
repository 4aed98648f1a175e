/*
 * Each tile of each step and block is a task. Threads claim tasks in a fixed order by incrementing
 * a counter. Before a thread runs a task, it waits until the previous step of the task's block is
 * complete. In the fixed order, a task comes after all tasks that it waits for; they have already
 * been claimed, so a wait cannot deadlock.
 *
 * The order consists of waves. In each wave, step s processes one block, which is `lag` blocks
 * behind the block of step s-1. The tasks on which a task depends are then usually complete.
 */
#include "model/ops/tile_steps.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>

#include "proto/base/span.h"

/* Maximum number of blocks in one parallel region. If there are more, several regions follow each
 * other. */
enum { MAX_BLOCKS = 1024 };

typedef struct team {
  const rn_steps_tiling *tiling;
  const rn_tile_step *steps;
  const rn_scan_port *port;
  const void *self;
  int64_t first, blocks, lag;
  atomic_llong next;
  /* number of completed tiles of each step and block */
  atomic_int done[RN_TILE_STEPS_MAX][MAX_BLOCKS];
} team;

/* The tasks of one step and block. `begin` is the number of tasks before them. */
typedef struct group {
  int step;
  int64_t wave, begin;
} group;

static int64_t block_of(const team *c, const group *g) {
  return g->wave - g->step * c->lag;
}

static int64_t tasks_of(const team *c, int step, int64_t block) {
  if (block < 0 || block >= c->blocks) return 0;
  return rn_steps_tiling_count(c->tiling, step, c->first + block);
}

/* Advances *at to the group of task `index`. Returns false if there is no such task. */
static bool find_group(const team *c, int64_t index, group *at) {
  const int64_t waves = c->blocks + (c->tiling->count - 1) * c->lag;
  while (at->wave < waves) {
    const int64_t end = at->begin + tasks_of(c, at->step, block_of(c, at));
    if (index < end) return true;
    at->begin = end;
    if (++at->step < c->tiling->count) continue;
    at->step = 0;
    at->wave++;
  }
  return false;
}

static void wait_for_step(team *c, int step, int64_t block) {
  enum { SPINS = 1000 };
  const int64_t tasks = tasks_of(c, step, block);
  for (int spins = 0; atomic_load_explicit(&c->done[step][block], memory_order_acquire) < tasks;
       spins++) {
    if (spins > SPINS) sched_yield();
  }
}

static void run_task(team *c, const group *g, int64_t index, const rn_scan_port *port) {
  const int64_t block = block_of(c, g);
  const rn_step_tile tile =
      rn_steps_tiling_tile(c->tiling, g->step, c->first + block, index - g->begin);
  if (g->step > 0) wait_for_step(c, g->step - 1, block);
  const double begin_s = rn_span_task_begin();
  c->steps[g->step].work(c->self, &tile);
  rn_span_task_end(begin_s);
  atomic_fetch_add_explicit(&c->done[g->step][block], 1, memory_order_release);
  if (port != NULL) port->poll(port->self);
}

static void run_tasks(team *c) {
  const rn_scan_port *port = omp_get_thread_num() == 0 ? c->port : NULL;
  group at = {0};
  for (int64_t i; find_group(c, i = atomic_fetch_add(&c->next, 1), &at);) {
    run_task(c, &at, i, port);
  }
}

void rn_tile_steps_run(rn_rows rows, const rn_scan_port *port, const rn_tile_step *steps, int count,
                       const void *self) {
  rn_step_shape shapes[RN_TILE_STEPS_MAX];
  for (int i = 0; i < count; i++) shapes[i] = steps[i].shape;
  const rn_steps_tiling tiling = rn_steps_tiling_of(rows, shapes, count);
  for (int64_t first = 0; first < tiling.blocks; first += MAX_BLOCKS) {
    team c = {.tiling = &tiling,
              .steps = steps,
              .port = port,
              .self = self,
              .first = first,
              .blocks = rn_smaller(tiling.blocks - first, MAX_BLOCKS),
              .lag = rn_steps_tiling_lag(&tiling, omp_get_max_threads())};
#pragma omp parallel
    run_tasks(&c);
  }
}
