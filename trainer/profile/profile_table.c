/* Prints the table of a profile: one line per path of nested spans, combined over all ranks and
 * indented by depth. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/base/span.h"
#include "trainer/profile/profile.h"

enum { NAME_BYTES = 48, MAX_ROWS = 2 * RN_SPAN_PATHS, NAME_WIDTH = 36 };

/* A path of spans as it is sent to rank 0. Parents are sent before their children. */
typedef struct sent {
  char name[NAME_BYTES];
  int parent;
  int64_t count;
  double total_s, own_s;
} sent;

/* A path of spans, with its counts and times combined over all ranks. A rank that never recorded
 * the path contributes a time of 0. */
typedef struct row {
  const char *name; /* points into the data of the first rank that has the path */
  int parent, seen; /* seen: number of ranks that have the path */
  int64_t count;
  double min_s, sum_s, max_s, own_s;
} row;

typedef struct table {
  row row[MAX_ROWS];
  int rows, ranks;
  double steps;
  double step_s; /* time of one step, mean over the ranks; 100 % in the table */
} table;

static int find_row(table *t, int parent, const char *name) {
  for (int i = 0; i < t->rows; i++) {
    if (t->row[i].parent == parent && strcmp(t->row[i].name, name) == 0) return i;
  }
  assert(t->rows < MAX_ROWS);
  row *r = &t->row[t->rows];
  *r = (row){.name = name, .parent = parent, .min_s = 1e300};
  return t->rows++;
}

static void add_rank(table *t, const sent *path, int paths) {
  int row_of[RN_SPAN_PATHS];
  for (int i = 0; i < paths; i++) {
    const sent *p = &path[i];
    row_of[i] = find_row(t, p->parent < 0 ? -1 : row_of[p->parent], p->name);
    row *r = &t->row[row_of[i]];
    r->seen++;
    r->count += p->count;
    r->sum_s += p->total_s;
    r->own_s += p->own_s;
    if (p->total_s < r->min_s) r->min_s = p->total_s;
    if (p->total_s > r->max_s) r->max_s = p->total_s;
  }
}

static void print_row(const table *t, int index, int depth) {
  const row *r = &t->row[index];
  const double each = 1e3 / t->steps, mean_s = r->sum_s / t->ranks / t->steps;
  rn_log_info("%*s%-*s %8.1f %10.3f %10.3f %10.3f %8.1f %8.1f", 2 * depth, "",
              NAME_WIDTH - 2 * depth, r->name, (double)r->count / t->ranks / t->steps,
              r->seen < t->ranks ? 0 : each * r->min_s, 1e3 * mean_s, each * r->max_s,
              100 * mean_s / t->step_s, 100 * r->own_s / t->ranks / t->steps / t->step_s);
  for (int i = index + 1; i < t->rows; i++) {
    if (t->row[i].parent == index) print_row(t, i, depth + 1);
  }
}

/* Returns the time per step in all spans whose name begins with "wait", as the mean over the
 * ranks. */
static double waiting_s(const table *t) {
  double sum_s = 0;
  for (int i = 0; i < t->rows; i++) {
    if (strncmp(t->row[i].name, "wait", 4) == 0) sum_s += t->row[i].sum_s;
  }
  return sum_s / t->ranks / t->steps;
}

static void print_table(const table *t) {
  rn_log_info(
      "profile: times in ms per step, over %d ranks and %.0f steps; percentages of the mean step "
      "time",
      t->ranks, t->steps);
  rn_log_info("%-*s %8s %10s %10s %10s %8s %8s", NAME_WIDTH, "", "times", "min", "mean", "max", "%",
              "self %");
  for (int i = 0; i < t->rows; i++) {
    if (t->row[i].parent < 0) print_row(t, i, 0);
  }
  rn_log_info("waiting for other ranks: %.3f ms per step, %.1f %%", 1e3 * waiting_s(t),
              100 * waiting_s(t) / t->step_s);
}

static int fill(sent *path) {
  const rn_spans *trace = rn_spans_get();
  for (int i = 0; i < trace->paths; i++) {
    const rn_span_path *p = &trace->path[i];
    path[i] = (sent){.parent = p->parent,
                     .count = p->count,
                     .total_s = p->total_s,
                     .own_s = p->total_s - p->inner_s};
    snprintf(path[i].name, NAME_BYTES, "%s", p->name);
  }
  return trace->paths;
}

/* Prints the table on rank 0. `all` holds the paths of all ranks, in rank order. */
static rn_status show(rn_err *err, const rn_profile *profile, const char *all, const size_t *sizes,
                      int ranks) {
  table *t;
  RN_TRY(err, rn_alloc(err, "profile", 1, sizeof *t, &t));
  t->ranks = ranks;
  t->steps = (double)profile->steps;
  for (int r = 0; r < ranks; r++) {
    add_rank(t, (const sent *)(const void *)all, (int)(sizes[r] / sizeof(sent)));
    all += sizes[r];
  }
  t->step_s = t->row[find_row(t, -1, "step")].sum_s / ranks / t->steps;
  print_table(t);
  free(t);
  return RN_OK;
}

rn_status rn_profile_table(rn_err *err, const rn_profile *profile) {
  rn_world *world = profile->parallel->world;
  sent path[RN_SPAN_PATHS];
  const size_t bytes = (size_t)fill(path) * sizeof *path;
  const int ranks = rn_world_size(world);
  char *all = NULL;
  size_t *sizes = NULL;
  RN_TRY(err, rn_world_gather_bytes(err, world, path, bytes, &all, &sizes));
  const bool root = rn_world_rank(world) == 0;
  rn_status status = root ? show(err, profile, all, sizes, ranks) : RN_OK;
  free(all);
  free(sizes);
  return rn_agree(err, world, status);
}
