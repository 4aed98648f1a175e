#include "trainer/schedule/schedule_simulate.h"

#include <string.h>

#include "proto/base/arena.h"

enum { DIRECTIONS = 2 }; /* only FORWARD and BACKWARD tasks send rows and states */

/* Tasks of one direction on one rank, in execution order. */
typedef struct track {
  int *unit;           /* [units] */
  double *start, *end; /* [units] */
  int started, ended;  /* number of tasks started and ended */
} track;

typedef struct rank {
  int stage, position; /* `position`: s, the rank's index within the stage */
  int next;            /* index of the next task in the stage's schedule */
  int layer;           /* next layer of the task `next` */
  double now_s;
  track track[DIRECTIONS];
  double *state[DIRECTIONS]; /* [units, layers] time at which the state that this rank sends
                                arrives; 0: not sent yet (times are at least BEGIN_S) */
} rank;

typedef struct world {
  const rn_simulation *sim;
  int units;
  rank *rank;    /* [stages, S] */
  int *done;     /* [stages, units] number of the unit's tasks that rank 0 of the stage has done */
  int *live;     /* [stages] number of units whose activations are held */
  int64_t steps; /* progress counter; if a round does not increase it, the simulation has ended or
                    deadlocked */
} world;

static const double BEGIN_S = 1; /* start time; greater than 0, so that 0 can mean "not yet" */

static rank *rank_at(const world *w, int stage, int position) {
  return &w->rank[stage * w->sim->ranks + position];
}

static int unit_of(const world *w, const rn_task *task) {
  return task->microbatch * w->sim->shape.segments + task->segment;
}

static double duration(const world *w, const rank *r, rn_task_kind kind) {
  const rn_task_times *t = &w->sim->times[r->stage];
  switch (kind) {
    case RN_TASK_FORWARD:
      return t->forward_s;
    case RN_TASK_BACKWARD:
      return t->backward_s + (w->sim->shape.split_weight ? 0 : t->weight_s);
    default:
      return t->weight_s;
  }
}

static rn_status complain(rn_err *err, const rank *r, const rn_task *t, const char *what) {
  return rn_fail(err, RN_ERR_MISMATCH,
                 "pipeline schedule: stage %d, rank %d: %s of micro-batch %d, segment %d %s",
                 r->stage, r->position, rn_task_kind_name(t->kind), t->microbatch, t->segment,
                 what);
}

/*
 * Checks that the forward, backward and weight tasks of a unit run in this order and once each, and
 * updates the stage's results.
 */
static rn_status count_task(rn_err *err, world *w, const rank *r, const rn_task *t,
                            rn_simulated_stage *out) {
  if (r->position != 0) return RN_OK;
  int *done = &w->done[r->stage * w->units + unit_of(w, t)];
  if (*done != (int)t->kind) return complain(err, r, t, "is out of order or repeated");
  ++*done;
  const int last = w->sim->shape.split_weight ? RN_TASK_WEIGHT : RN_TASK_BACKWARD;
  if (t->kind == RN_TASK_FORWARD && ++w->live[r->stage] > out->pool) {
    out->pool = w->live[r->stage];
  }
  if ((int)t->kind == last) w->live[r->stage]--;
  out->busy_s += duration(w, r, t->kind);
  return RN_OK;
}

typedef enum { READY, WAITS, WRONG } readiness;

/*
 * Checks that a task's input rows have been sent and that a buffer for its output rows will be
 * free. Raises *at_s, the time at which the task can start, to the time when both are true.
 */
static readiness rows_ready(const world *w, const rank *r, const rn_task *t, double *at_s) {
  const int forward = t->kind == RN_TASK_FORWARD ? 1 : -1, n = r->track[t->kind].started;
  const int before = r->stage - forward, after = r->stage + forward;
  const int stages = w->sim->shape.stages, buffers = w->sim->buffers;
  if (0 <= before && before < stages) {
    const track *sent = &rank_at(w, before, r->position)->track[t->kind];
    if (sent->ended <= n) return WAITS;
    if (sent->unit[n] != unit_of(w, t)) return WRONG;
    const double arrival_s = sent->end[n] + w->sim->rows_s;
    if (arrival_s > *at_s) *at_s = arrival_s;
  }
  if (0 <= after && after < stages && buffers > 0 && n >= buffers) {
    const track *taken = &rank_at(w, after, r->position)->track[t->kind];
    if (taken->started <= n - buffers) return WAITS;
    if (taken->start[n - buffers] > *at_s) *at_s = taken->start[n - buffers];
  }
  return READY;
}

/*
 * Returns the arrival time of the state that a layer of a task needs: 0 if the time is not known
 * yet, BEGIN_S if the layer needs no state.
 */
static double state_arrival(const world *w, const rank *r, const rn_task *t, int layer) {
  const int ranks = w->sim->ranks, segments = w->sim->shape.segments;
  if (ranks == 1) return BEGIN_S;
  const int forward = t->kind == RN_TASK_FORWARD ? 1 : -1;
  int from = r->position - forward, unit = unit_of(w, t);
  if (from < 0 || from == ranks) {
    const int wrapped_segment = t->segment - forward;
    if (wrapped_segment < 0 || wrapped_segment == segments) return BEGIN_S;
    from = (from + ranks) % ranks;
    unit -= forward;
  }
  return rank_at(w, r->stage, from)->state[t->kind][unit * w->sim->layers + layer];
}

/*
 * Runs the remaining layers of a task until a layer has to wait for a state. A layer needs the
 * state after half of its run time. Returns true if all layers are done.
 */
static bool run_layers(world *w, rank *r, const rn_task *t) {
  const int layers = w->sim->layers;
  const double half_s = duration(w, r, t->kind) / (2 * layers);
  for (; r->layer < layers; r->layer++, w->steps++) {
    const double arrival_s = state_arrival(w, r, t, r->layer);
    if (arrival_s == 0) return false;
    r->now_s += half_s;
    if (arrival_s > r->now_s) r->now_s = arrival_s;
    r->state[t->kind][unit_of(w, t) * layers + r->layer] = r->now_s + w->sim->state_s;
    r->now_s += half_s;
  }
  r->layer = 0;
  return true;
}

/* Runs a forward or backward task until it has to wait or ends. *ended is true if it has ended. */
static rn_status run_rows(rn_err *err, world *w, rank *r, const rn_task *t, bool *ended) {
  track *own = &r->track[t->kind];
  *ended = false;
  if (own->started == own->ended) {
    if (own->started == w->units) return complain(err, r, t, "is redundant");
    const readiness ready = rows_ready(w, r, t, &r->now_s);
    if (ready == WRONG) return complain(err, r, t, "receives the rows of another unit");
    if (ready == WAITS) return RN_OK;
    own->start[own->started++] = r->now_s;
    w->steps++;
  }
  if (!run_layers(w, r, t)) return RN_OK;
  own->unit[own->ended] = unit_of(w, t);
  own->end[own->ended++] = r->now_s;
  *ended = true;
  return RN_OK;
}

/* Executes a rank's schedule until the rank has to wait. */
static rn_status run_rank(rn_err *err, world *w, rank *r, rn_simulated_stage *out) {
  const rn_pipeline_schedule *list = &w->sim->list[r->stage];
  for (bool ended = true; r->next < list->count; r->next++, w->steps++) {
    const rn_task *t = &list->task[r->next];
    if (t->kind == RN_TASK_WEIGHT) {
      r->now_s += duration(w, r, t->kind);
    } else {
      RN_TRY(err, run_rows(err, w, r, t, &ended));
      if (!ended) return RN_OK;
    }
    RN_TRY(err, count_task(err, w, r, t, out));
  }
  return RN_OK;
}

static rn_status run_all(rn_err *err, world *w, rn_simulated_stage *out) {
  const int ranks = w->sim->shape.stages * w->sim->ranks;
  for (int64_t before = -1; before != w->steps;) {
    before = w->steps;
    for (int i = 0; i < ranks; i++) {
      RN_TRY(err, run_rank(err, w, &w->rank[i], &out[w->rank[i].stage]));
    }
  }
  for (int i = 0; i < ranks; i++) {
    const rank *r = &w->rank[i];
    const rn_pipeline_schedule *list = &w->sim->list[r->stage];
    if (r->next < list->count)
      return complain(err, r, &list->task[r->next], "never becomes ready: the schedule deadlocks");
  }
  return RN_OK;
}

static rn_status check_whole(rn_err *err, const world *w) {
  const rn_pipeline_schedule_shape shape = w->sim->shape;
  const int kinds = shape.split_weight ? 3 : 2;
  for (int i = 0; i < shape.stages * w->units; i++) {
    if (w->done[i] == kinds) continue;
    const int unit = i % w->units;
    const rn_task t = {.kind = (rn_task_kind)w->done[i],
                       .microbatch = unit / shape.segments,
                       .segment = unit % shape.segments};
    return complain(err, rank_at(w, i / w->units, 0), &t, "is missing");
  }
  return RN_OK;
}

static size_t bytes_of_a_rank(const world *w) {
  const size_t units = (size_t)w->units, layers = (size_t)w->sim->layers;
  return DIRECTIONS *
         (rn_arena_round(units * sizeof(int)) + 2 * rn_arena_round(units * sizeof(double)) +
          rn_arena_round(units * layers * sizeof(double)));
}

static void make_rank(const world *w, int index, rn_arena *arena, rank *r) {
  const size_t units = (size_t)w->units, layers = (size_t)w->sim->layers;
  r->stage = index / w->sim->ranks;
  r->position = index % w->sim->ranks;
  r->now_s = BEGIN_S;
  for (int d = 0; d < DIRECTIONS; d++) {
    r->track[d].unit = rn_arena_take(arena, units * sizeof(int));
    r->track[d].start = rn_arena_take(arena, units * sizeof(double));
    r->track[d].end = rn_arena_take(arena, units * sizeof(double));
    r->state[d] = rn_arena_take(arena, units * layers * sizeof(double));
  }
}

static rn_status make_world(rn_err *err, world *w, rn_arena *arena) {
  const size_t stages = (size_t)w->sim->shape.stages, ranks = stages * (size_t)w->sim->ranks;
  const size_t done = stages * (size_t)w->units * sizeof(int);
  RN_TRY(err, rn_arena_create(err,
                              ranks * bytes_of_a_rank(w) + rn_arena_round(ranks * sizeof(rank)) +
                                  rn_arena_round(done) + rn_arena_round(stages * sizeof(int)),
                              arena));
  w->rank = rn_arena_take(arena, ranks * sizeof(rank));
  w->done = rn_arena_take(arena, done);
  w->live = rn_arena_take(arena, stages * sizeof(int));
  for (size_t i = 0; i < ranks; i++) make_rank(w, (int)i, arena, &w->rank[i]);
  return RN_OK;
}

rn_status rn_pipeline_schedule_simulate(rn_err *err, const rn_simulation *sim, double *total_s,
                                        rn_simulated_stage *out) {
  const int stages = sim->shape.stages;
  world w = {.sim = sim, .units = sim->shape.microbatches * sim->shape.segments};
  rn_arena arena = {0};
  memset(out, 0, (size_t)stages * sizeof *out);
  *total_s = 0;
  rn_status status = make_world(err, &w, &arena);
  if (status == RN_OK) status = run_all(err, &w, out);
  if (status == RN_OK) status = check_whole(err, &w);
  for (int i = 0; status == RN_OK && i < stages * sim->ranks; i++) {
    const double took_s = w.rank[i].now_s - BEGIN_S;
    if (took_s > *total_s) *total_s = took_s;
  }
  rn_arena_destroy(&arena);
  return status;
}
