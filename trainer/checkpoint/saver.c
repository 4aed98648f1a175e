#include "trainer/checkpoint/saver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "comm/world/collective_wait.h"
#include "data/checkpoint/ckpt.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "trainer/checkpoint/checkpoint_streams.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/repeated_warning.h"

enum { KINDS = 3, POLITE = 10 };

/* The save in progress: the input of the writer, and the contents of the manifest. */
struct rn_saver {
  rn_run *run;                 /* not owned */
  rn_run_lock *lock;           /* of run.dir, on rank 0; not owned */
  rn_write_token *write_token; /* not owned */
  float *copy;                 /* this rank's slices, contiguous; NULL without checkpoint.async */
  int64_t copy_room;
  rn_ckpt_slice *slice; /* [slices] */
  char (*name)[RN_STATE_NAME_BYTES];
  int slices;
  rn_saved_state state; /* step -1: no save is in progress */
  pthread_t thread;
  bool has_thread;
  atomic_bool writing;
  rn_status status; /* written with err and report by the writer; valid when it is done */
  rn_err err;
  rn_ckpt_report report;
  double write_s, stop_s, copy_s; /* of this save */
  int64_t saved_step;             /* of the last save that succeeded; -1: none */
  rn_repeated_warning untidy;     /* consecutive failures to remove old checkpoints */
  rn_save_costs costs;
};

/* ---- creating ---- */

static int64_t elements_of(const rn_saver *s) {
  int64_t count = 0;
  for (int i = 0; i < s->slices; i++) count += s->slice[i].count;
  return count;
}

/* Describes this rank's weights and moments in place, tensor by tensor. */
static int own_slices(const rn_run *run, rn_ckpt_slice *slices) {
  int count = 0;
  for (int i = 0; i < run->model.weights.shards.slices; i++) {
    const rn_shard_slice *piece = &run->model.weights.shards.slice[i];
    const rn_param *p = piece->param;
    if (p->copy) continue;
    const float *const data[KINDS] = {run->model.weights.params + piece->range.begin,
                                      run->optimizer.exp_avg + piece->offset,
                                      run->optimizer.exp_avg_sq + piece->offset};
    for (int kind = 0; kind < KINDS; kind++) {
      slices[count++] = (rn_ckpt_slice){.kind = (Retnet__TensorKind)kind,
                                        .name = p->name,
                                        .dims = p->matrix ? 2 : 1,
                                        .shape = {p->rows, p->matrix ? p->cols : 0},
                                        .first = piece->range.begin - p->offset,
                                        .count = rn_range_count(piece->range),
                                        .data = data[kind]};
    }
  }
  return count;
}

static void collect_slices(rn_saver *s) {
  s->slices = own_slices(s->run, s->slice);
  rn_streams_slices(s->run, s->name, s->slice + s->slices);
  s->slices += rn_streams_slice_count(s->run);
}

static rn_status take_memory(rn_err *err, rn_saver *s) {
  const size_t pieces = (size_t)s->run->model.weights.shards.slices;
  const size_t states = (size_t)rn_streams_slice_count(s->run);
  RN_TRY(err, rn_alloc(err, "slices", KINDS * pieces + states, sizeof *s->slice, &s->slice));
  RN_TRY(err, rn_alloc(err, "state names", states, sizeof *s->name, &s->name));
  if (!s->run->settings.config->checkpoint->async) return RN_OK;
  collect_slices(s);
  s->copy_room = elements_of(s);
  return rn_alloc(err, "checkpoint copy", (size_t)s->copy_room, sizeof *s->copy, &s->copy);
}

rn_status rn_saver_create(rn_err *err, rn_run *run, rn_run_lock *lock, rn_write_token *write_token,
                          rn_saver **out) {
  *out = NULL;
  rn_saver *s;
  RN_TRY(err, rn_alloc(err, "saver", 1, sizeof *s, &s));
  s->run = run;
  s->lock = lock;
  s->write_token = write_token;
  s->state.step = s->saved_step = -1;
  s->untidy.what = "failed prune operations";
  rn_status status = take_memory(err, s);
  if (status != RN_OK) {
    rn_saver_destroy(&s);
    return status;
  }
  *out = s;
  return RN_OK;
}

static void join(rn_saver *s) {
  if (s->has_thread) pthread_join(s->thread, NULL);
  s->has_thread = false;
}

/* Frees what belongs to one save, not the buffers that all saves use. */
static void forget_save(rn_saver *s) {
  free(s->report.bytes);
  free(s->state.stream);
  s->report = (rn_ckpt_report){0};
  s->state.stream = NULL;
  s->state.step = -1;
}

void rn_saver_destroy(rn_saver **saver) {
  rn_saver *s = *saver;
  if (s == NULL) return;
  rn_write_token_cancel(s->write_token);
  join(s);
  forget_save(s);
  free(s->copy);
  free(s->slice);
  free(s->name);
  free(s);
  *saver = NULL;
}

/* ---- starting ---- */

/* Appends this rank's slices to the shared file, after the previous rank has written its own. */
static rn_status write_in_turn(rn_saver *s) {
  const rn_path stage = rn_ckpt_stage_path(s->run->settings.config->run->dir, s->state.step);
  rn_ckpt_output output = {.stage_path = stage.text,
                           .index = rn_write_token_first(s->write_token),
                           .level = s->run->settings.config->checkpoint->level};
  rn_status status = rn_write_token_wait(&s->err, s->write_token, &output.offset);
  if (status == RN_OK) {
    status = rn_ckpt_write_file(&s->err, output, s->slice, s->slices, &s->report);
  }
  rn_write_token_pass(s->write_token, status, output.offset + s->report.stored_bytes);
  return status;
}

/* Runs at low priority when it has a copy, so that the training threads go first. */
static void *write_part(void *self) {
  rn_saver *s = self;
  const double begin_s = rn_clock_s();
  if (s->copy != NULL) setpriority(PRIO_PROCESS, (id_t)gettid(), POLITE);
  s->status = write_in_turn(s);
  s->write_s = rn_clock_s() - begin_s;
  atomic_store(&s->writing, false);
  return NULL;
}

static void copy_slices(rn_saver *s) {
  float *to = s->copy;
  for (int i = 0; i < s->slices; i++) {
    memcpy(to, s->slice[i].data, (size_t)s->slice[i].count * sizeof *to);
    s->slice[i].data = to;
    to += s->slice[i].count;
  }
}

static void keep_state(rn_saver *s) {
  const rn_run *run = s->run;
  s->state.step = run->counters.step;
  s->state.tokens = run->counters.tokens;
  s->state.next_sequence = run->counters.next_sequence;
  s->state.updates = run->counters.updates;
  s->state.bad_steps = run->counters.bad_steps;
  collect_slices(s);
}

/* If no thread can be created, the caller writes: slower, with the same result. */
static void start_writing(rn_saver *s) {
  atomic_store(&s->writing, true);
  s->has_thread = rn_thread_create(&s->thread, write_part, s) == 0;
  if (!s->has_thread) write_part(s);
}

static bool is_writing(void *self) {
  rn_saver *s = self;
  return atomic_load(&s->writing);
}

static rn_status stage(rn_err *err, void *context) {
  const rn_saver *s = context;
  RN_TRY(err, rn_run_lock_check(err, s->lock));
  return rn_ckpt_stage_dir(err, s->run->settings.config->run->dir, s->run->counters.step);
}

rn_status rn_saver_start(rn_err *err, rn_saver *s) {
  const double begin_s = rn_clock_s();
  rn_progress_begin("start save", s->run->counters.step);
  const rn_status staged = rn_collective_wait_for_root(err, s->run->parallel.world, stage, s);
  if (staged == RN_ERR_MPI) return staged;
  RN_TRY(err, rn_agree(err, s->run->parallel.world, staged));
  RN_TRY(err, rn_streams_gather(err, s->run, &s->state.stream));
  keep_state(s);
  if (s->copy != NULL) {
    const double copied_s = rn_clock_s();
    copy_slices(s);
    s->copy_s = rn_clock_s() - copied_s;
    s->costs.copy_s += s->copy_s;
  }
  start_writing(s);
  if (s->copy == NULL) RN_TRY(err, rn_collective_wait(err, s->run->parallel.world, is_writing, s));
  s->stop_s = rn_clock_s() - begin_s;
  return RN_OK;
}

int64_t rn_saver_step(const rn_saver *s) {
  return s->state.step;
}

int64_t rn_saver_saved_step(const rn_saver *s) {
  return s->saved_step;
}

bool rn_saver_is_writing(const rn_saver *s) {
  return s->state.step >= 0 && atomic_load(&s->writing);
}

const rn_save_costs *rn_saver_costs(const rn_saver *s) {
  return &s->costs;
}

/* ---- finishing ---- */

/* The gathered reports of all ranks, concatenated; on rank 0. */
typedef struct reported {
  const rn_saver *s;
  char *all;
  const size_t *sizes;
} reported;

static rn_status commit(rn_err *err, void *context) {
  const reported *r0 = context;
  const rn_saver *s = r0->s;
  const int ranks = rn_world_size(s->run->parallel.world);
  rn_ckpt_report *reports;
  RN_TRY(err, rn_run_lock_check(err, s->lock));
  RN_TRY(err, rn_alloc(err, "reports", (size_t)ranks, sizeof *reports, &reports));
  size_t at = 0;
  for (int r = 0; r < ranks; r++) {
    reports[r] = (rn_ckpt_report){.bytes = (uint8_t *)r0->all + at, .size = r0->sizes[r]};
    at += r0->sizes[r];
  }
  rn_status status = rn_manifest_commit(err, s->run, &s->state, reports, ranks);
  free(reports);
  return status;
}

/* Sums the bytes of all ranks, before and after compression; the result is on rank 0. */
static rn_status count_bytes(rn_err *err, rn_saver *s) {
  const int ranks = rn_world_size(s->run->parallel.world);
  const double mine[2] = {(double)elements_of(s) * sizeof(float), (double)s->report.stored_bytes};
  double sum[2] = {0}, *all;
  RN_TRY(err,
         rn_agree(err, s->run->parallel.world,
                  rn_alloc(err, "checkpoint bytes by rank", (size_t)ranks, sizeof *all, &all)));
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < 2; i++) {
    status = rn_world_all_gather_double(err, s->run->parallel.world, mine[i], all);
    for (int r = 0; status == RN_OK && rn_world_rank(s->run->parallel.world) == 0 && r < ranks;
         r++) {
      sum[i] += all[r];
    }
  }
  free(all);
  s->costs.raw_bytes = sum[0];
  s->costs.stored_bytes = sum[1];
  return status;
}

static rn_status publish(rn_err *err, rn_saver *s) {
  char *all = NULL;
  size_t *sizes = NULL;
  RN_TRY(err, rn_world_gather_bytes(err, s->run->parallel.world, s->report.bytes, s->report.size,
                                    &all, &sizes));
  rn_status status = count_bytes(err, s);
  if (status == RN_OK) {
    reported all_reports = {s, all, sizes};
    status = rn_collective_wait_for_root(err, s->run->parallel.world, commit, &all_reports);
    if (status != RN_ERR_MPI) status = rn_agree(err, s->run->parallel.world, status);
  }
  free(all);
  free(sizes);
  return status;
}

static void tell(const rn_saver *s) {
  const rn_save_costs *c = &s->costs;
  const double copies = s->copy_s > 0 ? s->stop_s / s->copy_s : 0;
  rn_log_info(
      "step %lld saved: %.1f MB compressed to %.1f MB (%.2f : 1), written in %.2f s; training "
      "stalled %.3f s (%.1f times the copy time of rank 0)",
      (long long)s->state.step, 1e-6 * c->raw_bytes, 1e-6 * c->stored_bytes,
      c->stored_bytes > 0 ? c->raw_bytes / c->stored_bytes : 1, s->write_s, s->stop_s, copies);
}

/* Arguments of tidy, which runs after the checkpoint is on disk: its failure can only leave too
 * many checkpoints, never too few. */
typedef struct tidying {
  const rn_saver *s;
  int keep_last;
} tidying;

static rn_status tidy(rn_err *err, void *context) {
  const tidying *t = context;
  const rn_saver *s = t->s;
  const Retnet__Config *c = s->run->settings.config;
  RN_TRY(err, rn_ckpt_point_latest(err, c->run->dir, s->state.step));
  if (rn_fault_now("ckpt.prune")) return rn_file_fail(err, "remove", c->run->dir, errno);
  return rn_ckpt_prune(err, c->run->dir, t->keep_last, c->checkpoint->keep_every);
}

static rn_status tidy_up(rn_err *err, rn_saver *s, int keep_last) {
  rn_err told = {0};
  tidying t = {s, keep_last};
  const rn_status status = rn_collective_wait_for_root(&told, s->run->parallel.world, tidy, &t);
  if (status == RN_ERR_MPI) {
    *err = told;
    return status;
  }
  if (rn_world_rank(s->run->parallel.world) != 0) return RN_OK;
  if (status == RN_OK) {
    rn_repeated_warning_end(&s->untidy);
  } else {
    rn_repeated_warning_add(&s->untidy,
                            "step %lld is saved, but older checkpoints could not be pruned: %s",
                            (long long)s->state.step, told.text);
  }
  return RN_OK;
}

/* Waits for the writers of all ranks; returns the worst of their statuses. */
static rn_status wait_for_writers(rn_err *err, rn_saver *s) {
  const double begin_s = rn_clock_s();
  rn_progress_begin("save", s->state.step);
  RN_TRY(err, rn_collective_wait(err, s->run->parallel.world, is_writing, s));
  join(s);
  *err = s->err;
  s->err = (rn_err){0};
  rn_status status = rn_agree(err, s->run->parallel.world, s->status);
  s->costs.wait_s += rn_clock_s() - begin_s;
  return status;
}

rn_status rn_saver_finish(rn_err *err, rn_saver *s, int keep_last) {
  if (s->state.step < 0) return RN_OK;
  rn_status status = wait_for_writers(err, s);
  const double written_s = rn_clock_s();
  if (status == RN_OK) status = publish(err, s);
  if (status == RN_OK) status = tidy_up(err, s, keep_last);
  s->stop_s += rn_clock_s() - written_s;
  s->costs.write_s += s->write_s;
  s->costs.stop_s += s->stop_s;
  if (status == RN_OK) {
    s->costs.saves++;
    s->saved_step = s->state.step;
    tell(s);
  } else {
    s->costs.failed++;
  }
  forget_save(s);
  return status;
}

static rn_status remove_stage(rn_err *err, void *context) {
  const rn_path *stage_path = context;
  return rn_file_remove_tree(err, stage_path->text);
}

rn_status rn_saver_drop(rn_err *err, rn_saver *s) {
  if (s->state.step < 0) return RN_OK;
  rn_path stage_path = rn_ckpt_stage_path(s->run->settings.config->run->dir, s->state.step);
  rn_err told = {0};
  if (wait_for_writers(&told, s) == RN_ERR_MPI) {
    *err = told;
    return RN_ERR_MPI;
  }
  forget_save(s);
  return rn_collective_wait_for_root(err, s->run->parallel.world, remove_stage, &stage_path);
}
