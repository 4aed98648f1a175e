#include "trainer/checkpoint/saver.h"

#include <errno.h>
#include <stdlib.h>

#include "comm/world/collective_wait.h"
#include "data/checkpoint/ckpt.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "trainer/checkpoint/checkpoint_shards.h"
#include "trainer/checkpoint/checkpoint_streams.h"
#include "trainer/checkpoint/repeated_warning.h"
#include "trainer/checkpoint/save_publish.h"
#include "trainer/checkpoint/save_writer.h"

/* The save in progress, and the totals of all saves. */
struct rn_saver {
  const rn_run *run;    /* not owned */
  rn_run_lock *lock;    /* lock of run.dir; rank 0 only; not owned */
  rn_ckpt_slice *slice; /* [slices] tensor slices that this rank saves */
  char (*name)[RN_STATE_NAME_BYTES];
  int slices;
  rn_save_writer *writer;
  rn_saved_state state;  /* state that is being saved; step -1: no save is in progress */
  rn_ckpt_report report; /* report of this rank's writer */
  rn_save_bytes bytes;   /* bytes of the last published save, summed over all ranks */
  rn_save_times times;   /* of this save */
  int64_t saved_step;    /* step of the last save since the last rollback; -1: none */
  rn_repeated_warning failed_prunes;
  rn_save_costs costs;
};

/* ---- creating ---- */

static int64_t elements_of(const rn_saver *s) {
  int64_t count = 0;
  for (int i = 0; i < s->slices; i++) count += s->slice[i].count;
  return count;
}

/* Describes the current weights, moments and states of this rank in place. */
static void collect_slices(rn_saver *s) {
  const rn_run *run = s->run;
  s->slices = rn_shards_slices(&run->model.weights, &run->optimizer, s->slice);
  rn_streams_slices(&run->data, s->name, s->slice + s->slices);
  s->slices += rn_streams_slice_count(&run->data);
}

static rn_status allocate(rn_err *err, rn_write_token *write_token, rn_saver *s) {
  const rn_run *run = s->run;
  const size_t shards = (size_t)rn_shards_max_slices(&run->model.weights);
  const size_t states = (size_t)rn_streams_slice_count(&run->data);
  RN_TRY(err, rn_alloc(err, "slices", shards + states, sizeof *s->slice, &s->slice));
  RN_TRY(err, rn_alloc(err, "state names", states, sizeof *s->name, &s->name));
  collect_slices(s);
  const int64_t copied = run->settings.config->checkpoint->async ? elements_of(s) : 0;
  return rn_save_writer_create(err, write_token, copied, &s->writer);
}

rn_status rn_saver_create(rn_err *err, const rn_run *run, rn_run_lock *lock,
                          rn_write_token *write_token, rn_saver **out) {
  *out = NULL;
  rn_saver *s;
  RN_TRY(err, rn_alloc(err, "saver", 1, sizeof *s, &s));
  s->run = run;
  s->lock = lock;
  s->state.counters.step = s->saved_step = -1;
  s->failed_prunes.what = "failed prune operations";
  rn_status status = allocate(err, write_token, s);
  if (status != RN_OK) {
    rn_saver_destroy(&s);
    return status;
  }
  *out = s;
  return RN_OK;
}

/* Frees the memory of one save, but not the buffers that all saves use. */
static void forget_save(rn_saver *s) {
  free(s->report.bytes);
  free(s->state.stream);
  s->report = (rn_ckpt_report){0};
  s->state = (rn_saved_state){.counters.step = -1};
}

void rn_saver_destroy(rn_saver **saver) {
  rn_saver *s = *saver;
  if (s == NULL) return;
  rn_save_writer_destroy(&s->writer);
  forget_save(s);
  free(s->slice);
  free(s->name);
  free(s);
  *saver = NULL;
}

/* ---- state ---- */

int64_t rn_saver_step(const rn_saver *s) {
  return s->state.counters.step;
}

int64_t rn_saver_saved_step(const rn_saver *s) {
  return s->saved_step;
}

void rn_saver_rolled_back(rn_saver *s) {
  s->saved_step = -1;
}

bool rn_saver_is_writing(const rn_saver *s) {
  return rn_saver_step(s) >= 0 && rn_save_writer_is_writing(s->writer);
}

const rn_save_costs *rn_saver_costs(const rn_saver *s) {
  return &s->costs;
}

/* Assumed minimum rate, in bytes per second, at which one rank compresses and writes. */
enum { SLOW_WRITE_RATE = 50000000 };

double rn_saver_expected_s(const rn_saver *s) {
  const rn_save_costs *c = &s->costs;
  if (c->saves == 0) return (double)elements_of(s) * sizeof(float) / SLOW_WRITE_RATE;
  /* Without checkpoint.async, stop_s includes the time of the writes. */
  const bool async = s->run->settings.config->checkpoint->async;
  return ((async ? c->times.write_s : 0) + c->times.stop_s) / (double)c->saves;
}

/* ---- starting ---- */

static const char *run_dir(const rn_saver *s) {
  return s->run->settings.config->run->dir;
}

static bool is_writing(void *self) {
  const rn_saver *s = self;
  return rn_save_writer_is_writing(s->writer);
}

static rn_status create_stage_dir(rn_err *err, void *context) {
  const rn_saver *s = context;
  RN_TRY(err, rn_run_lock_verify(err, s->lock));
  return rn_ckpt_stage_dir(err, run_dir(s), s->run->counters.step);
}

static rn_status start(rn_err *err, rn_saver *s) {
  const Retnet__Checkpoint *config = s->run->settings.config->checkpoint;
  const rn_step_counters *now = &s->run->counters;
  rn_world *world = s->run->parallel.world;
  const double begin_s = rn_clock_s();
  rn_progress_begin("start of a save", now->step);
  const rn_status staged = rn_collective_wait_for_root(err, world, create_stage_dir, s);
  if (staged == RN_ERR_MPI) return staged;
  RN_TRY(err, rn_agree(err, world, staged));
  RN_TRY(err, rn_streams_gather(err, &s->run->data, world, &s->state.stream));
  s->state.counters = *now;
  s->state.spikes = s->run->spikes;
  collect_slices(s);
  rn_save_writer_start(s->writer, rn_ckpt_stage_path(run_dir(s), now->step), config->level,
                       s->slice, s->slices);
  if (!config->async) RN_TRY(err, rn_collective_wait(err, world, is_writing, s));
  s->times =
      (rn_save_times){.stop_s = rn_clock_s() - begin_s, .copy_s = rn_save_writer_copy_s(s->writer)};
  return RN_OK;
}

rn_status rn_saver_start(rn_err *err, rn_saver *s) {
  const rn_status status = start(err, s);
  if (status != RN_OK) s->costs.failed++;
  return status;
}

/* ---- finishing ---- */

/* Waits for the writers of all ranks; returns the worst of their statuses. */
static rn_status wait_for_writers(rn_err *err, rn_saver *s) {
  rn_world *world = s->run->parallel.world;
  const double begin_s = rn_clock_s();
  rn_progress_begin("save", rn_saver_step(s));
  RN_TRY(err, rn_collective_wait(err, world, is_writing, s));
  rn_status status = rn_agree(err, world, rn_save_writer_finish(err, s->writer, &s->report));
  s->times.wait_s = rn_clock_s() - begin_s;
  return status;
}

static void print_saved(const rn_saver *s) {
  const rn_save_bytes b = s->bytes;
  rn_log_info(
      "step %lld saved: %.1f MB compressed to %.1f MB (%.2f : 1), written in %.2f s; training "
      "stalled %.3f s",
      (long long)rn_saver_step(s), 1e-6 * b.raw, 1e-6 * b.stored,
      b.stored > 0 ? b.raw / b.stored : 1, rn_save_writer_write_s(s->writer), s->times.stop_s);
}

/* Arguments and result of prune. Because prune runs only after the new checkpoint is on disk, a
 * failure can leave too many checkpoints, but never too few. */
typedef struct pruning {
  const rn_saver *s;
  int keep_last;
  bool unreadable; /* the new checkpoint cannot be read back */
} pruning;

/* Called if the new checkpoint cannot be read back; `why` is the error. Marks the checkpoint as bad
 * if it is damaged, as opposed to, for example, an I/O error. `newest` is the step of the newest
 * good checkpoint; -1: none. */
static rn_status reject(rn_err *err, const rn_saver *s, const rn_err *why, int64_t newest) {
  const rn_path path = rn_ckpt_step_path(run_dir(s), rn_saver_step(s), RN_CKPT_WHOLE);
  rn_err failure = {0};
  rn_status status = RN_OK;
  if (newest >= 0) status = rn_ckpt_point_latest(&failure, run_dir(s), newest);
  if (status == RN_OK && (why->status == RN_ERR_FORMAT || why->status == RN_ERR_NOT_FOUND)) {
    status = rn_ckpt_mark_bad(&failure, path.text);
  }
  if (status != RN_OK) rn_log_warn("%s", failure.text);
  return rn_fail(err, why->status, "its checkpoint was written, but cannot be read back (%s); %s",
                 why->text,
                 newest >= 0 ? "the previous checkpoint is kept" : "there is no previous one");
}

/* Reads the new checkpoint back, then removes all other checkpoints that need not be kept. */
static rn_status prune_to_one(rn_err *err, pruning *p, int64_t keep_every) {
  rn_err why = {0};
  int64_t newest;
  const rn_status status = rn_ckpt_prune_verified(&why, run_dir(p->s), 1, keep_every, &newest);
  if (status == RN_OK) return RN_OK;
  p->unreadable = newest < rn_saver_step(p->s);
  return p->unreadable ? reject(err, p->s, &why, newest) : rn_fail(err, status, "%s", why.text);
}

static rn_status prune(rn_err *err, void *context) {
  pruning *p = context;
  const char *dir = run_dir(p->s);
  RN_TRY(err, rn_ckpt_point_latest(err, dir, rn_saver_step(p->s)));
  if (rn_fault_now("ckpt.prune")) return rn_file_fail(err, "remove", dir, errno);
  const int64_t keep_every = p->s->run->settings.config->checkpoint->keep_every;
  if (p->keep_last == 1) return prune_to_one(err, p, keep_every);
  return rn_ckpt_prune(err, dir, p->keep_last, keep_every);
}

/* Removes old checkpoints. Fails if the new checkpoint cannot be read back (agreed) or if MPI
 * fails; other failures are warnings. */
static rn_status prune_or_warn(rn_err *err, rn_saver *s, int keep_last) {
  rn_world *world = s->run->parallel.world;
  rn_err failure = {0};
  pruning p = {s, keep_last, false};
  const rn_status status = rn_collective_wait_for_root(&failure, world, prune, &p);
  if (status == RN_ERR_MPI) {
    *err = failure;
    return status;
  }
  if (keep_last == 1) {
    const rn_status read = p.unreadable ? rn_fail(err, status, "%s", failure.text) : RN_OK;
    RN_TRY(err, rn_agree(err, world, read));
  }
  if (rn_world_rank(world) != 0) return RN_OK;
  if (status == RN_OK) {
    rn_repeated_warning_end(&s->failed_prunes);
  } else {
    rn_repeated_warning_add(&s->failed_prunes,
                            "step %lld is saved, but older checkpoints could not be pruned: %s",
                            (long long)rn_saver_step(s), failure.text);
  }
  return RN_OK;
}

/* Removes the files of this save. If another job owns the run now, they may be those of its save.
 */
static rn_status remove_stage(rn_err *err, void *context) {
  const rn_saver *s = context;
  RN_TRY(err, rn_run_lock_verify(err, s->lock));
  return rn_file_remove_left(err, rn_ckpt_stage_path(run_dir(s), rn_saver_step(s)).text);
}

/* Does the same after a failed publication. Removes nothing if the step has a checkpoint: the
 * folder may then hold the replaced one, and it is not certain which of the two survives a crash.
 */
static rn_status remove_unpublished(rn_err *err, void *context) {
  const rn_saver *s = context;
  const rn_path final = rn_ckpt_step_path(run_dir(s), rn_saver_step(s), RN_CKPT_WHOLE);
  return rn_file_is_missing(final.text) ? remove_stage(err, context) : RN_OK;
}

/*
 * Calls `remove` on rank 0 if the save failed with `status`, because on a full disk its files would
 * take the space that the user frees for the next save. If the removal fails, the files stay until
 * a later save. Returns `status`, or RN_ERR_MPI if MPI fails.
 */
static rn_status clean_up(rn_err *err, rn_saver *s, rn_status status,
                          rn_status (*remove)(rn_err *, void *)) {
  rn_err failure = {0};
  if (status == RN_OK || status == RN_ERR_MPI) return status;
  if (rn_collective_wait_for_root(&failure, s->run->parallel.world, remove, s) != RN_ERR_MPI) {
    return status;
  }
  *err = failure;
  return RN_ERR_MPI;
}

static rn_status publish(rn_err *err, rn_saver *s) {
  s->bytes = (rn_save_bytes){.raw = (double)elements_of(s) * sizeof(float),
                             .stored = (double)s->report.stored_bytes};
  return rn_save_publish(err, s->run, s->lock, &s->state, &s->report, &s->bytes);
}

static void add_times(rn_saver *s) {
  rn_save_times *sum = &s->costs.times;
  sum->stop_s += s->times.stop_s;
  sum->copy_s += s->times.copy_s;
  sum->wait_s += s->times.wait_s;
  sum->write_s += rn_save_writer_write_s(s->writer);
}

rn_status rn_saver_finish(rn_err *err, rn_saver *s, int keep_last) {
  if (rn_saver_step(s) < 0) return RN_OK;
  rn_status status = clean_up(err, s, wait_for_writers(err, s), remove_stage);
  const double written_s = rn_clock_s();
  if (status == RN_OK) status = clean_up(err, s, publish(err, s), remove_unpublished);
  if (status == RN_OK) status = prune_or_warn(err, s, keep_last);
  s->times.stop_s += rn_clock_s() - written_s;
  if (status == RN_OK) {
    add_times(s);
    s->costs.saves++;
    s->costs.raw_bytes = s->bytes.raw;
    s->costs.stored_bytes = s->bytes.stored;
    s->saved_step = rn_saver_step(s);
    print_saved(s);
  } else {
    s->costs.failed++;
  }
  forget_save(s);
  return status;
}

rn_status rn_saver_drop(rn_err *err, rn_saver *s) {
  if (rn_saver_step(s) < 0) return RN_OK;
  rn_err failure = {0};
  if (wait_for_writers(&failure, s) == RN_ERR_MPI) {
    *err = failure;
    return RN_ERR_MPI;
  }
  const rn_status status =
      rn_collective_wait_for_root(err, s->run->parallel.world, remove_stage, s);
  forget_save(s);
  return status;
}
