/*
 * Checks when a run saves, completes saves and removes old checkpoints, with a saver that only
 * records the calls. A bad step, for example with a NaN loss, is skipped; the weights of a
 * save are proven when the next step is good. While steps are skipped, no save is started and no
 * checkpoint is removed. If the run ends in this state, a save in progress is completed if its
 * weights are proven, and dropped otherwise; no older checkpoint is removed.
 */
#include "trainer/checkpoint/saving.h"

#include <string.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { NOTHING = -1 };

/* Records the calls of the saver's functions. */
struct rn_saver {
  const rn_step_counters *counters;
  int64_t step, saved; /* step in progress and last saved step; -1: none */
  int started, finished, dropped;
  int keep_last; /* argument of the last completed save; NOTHING: no save was completed */
};

rn_status rn_saver_start(rn_err *err, rn_saver *s) {
  (void)err;
  s->started++;
  s->step = s->counters->step;
  return RN_OK;
}

int64_t rn_saver_step(const rn_saver *s) {
  return s->step;
}

int64_t rn_saver_saved_step(const rn_saver *s) {
  return s->saved;
}

void rn_saver_rolled_back(rn_saver *s) {
  s->saved = NOTHING;
}

rn_status rn_saver_finish(rn_err *err, rn_saver *s, int keep_last) {
  (void)err;
  if (s->step < 0) return RN_OK;
  s->finished++;
  s->keep_last = keep_last;
  s->saved = s->step;
  s->step = -1;
  return RN_OK;
}

rn_status rn_saver_drop(rn_err *err, rn_saver *s) {
  (void)err;
  s->dropped++;
  s->step = -1;
  return RN_OK;
}

static rn_err *err = &(rn_err){0};

/* A run that saves every 2 steps, and has no checkpoint on disk. */
typedef struct fake_run {
  Retnet__Config config;
  Retnet__Run run;
  Retnet__Checkpoint checkpoint;
  rn_step_counters counters;
  rn_saver saver;
  rn_saving saving;
} fake_run;

static void start(fake_run *f, int keep_last) {
  memset(f, 0, sizeof *f);
  retnet__config__init(&f->config);
  retnet__run__init(&f->run);
  retnet__checkpoint__init(&f->checkpoint);
  f->run.dir = (char *)temp_folder();
  f->checkpoint.every = 2;
  f->checkpoint.keep_last = keep_last;
  f->config.run = &f->run;
  f->config.checkpoint = &f->checkpoint;
  f->saver = (rn_saver){&f->counters, -1, -1, 0, 0, 0, NOTHING};
  f->saving = rn_saving_create(&f->config, &f->counters, &f->saver);
}

static void pass_step(fake_run *f, bool good) {
  f->counters.step++;
  f->counters.bad_steps = good ? 0 : f->counters.bad_steps + 1;
  CHECK_OK(err, rn_saving_step(err, &f->saving));
}

static void pass_steps(fake_run *f, int good) {
  for (int i = 0; i < good; i++) pass_step(f, true);
}

/* Steps 1 to 3 are good. The save of step 2 is still being written when step 4 is skipped. */
static void start_with_a_proven_save(fake_run *f, int keep_last) {
  start(f, keep_last);
  pass_steps(f, 3);
  CHECK_EQUAL(f->saver.started, 1);
  pass_step(f, false);
}

/* Steps 1 and 2 are good, but no good step has followed that proves the weights after step 2. */
static void start_with_an_unproven_save(fake_run *f) {
  start(f, 1);
  pass_steps(f, 2);
  pass_step(f, false);
}

static void good_steps_save_and_prune(void) {
  fake_run f;
  start(&f, 3);
  pass_steps(&f, 3);
  CHECK_OK(err, rn_saving_written(err, &f.saving));
  CHECK_EQUAL(f.saver.saved, 2);
  CHECK_EQUAL(f.saver.keep_last, 3);
}

static void no_name_before_the_next_step_is_good(void) {
  fake_run f;
  start(&f, 3);
  pass_steps(&f, 2);
  CHECK_OK(err, rn_saving_written(err, &f.saving));
  CHECK_EQUAL(f.saver.finished, 0);
}

static void nothing_is_named_while_steps_are_skipped(void) {
  fake_run f;
  start_with_a_proven_save(&f, 1);
  CHECK_OK(err, rn_saving_written(err, &f.saving));
  pass_step(&f, false);
  CHECK_OK(err, rn_saving_written(err, &f.saving));
  CHECK_EQUAL(f.saver.started, 1);
  CHECK_EQUAL(f.saver.finished, 0);
  pass_step(&f, true); /* step 6: starts the save that was due at step 4 */
  CHECK_EQUAL(f.saver.saved, 2);
  CHECK_EQUAL(f.saver.started, 2);
  CHECK_EQUAL(f.saver.step, 6);
}

/* The run ends while steps are skipped: because of too many bad steps, or after the last step or
 * a stop. */
static void a_proven_save_is_named_and_removes_none(void) {
  for (int keep = 1; keep <= 3; keep++) {
    fake_run f;
    start_with_a_proven_save(&f, keep);
    CHECK_OK(err, rn_saving_end(err, &f.saving, RN_ERR_NUMERICS));
    CHECK_EQUAL(f.saver.saved, 2);
    CHECK_EQUAL(f.saver.keep_last, 0); /* keeps all */
    rn_err_clear(err);
    start_with_a_proven_save(&f, keep);
    CHECK_FAILS(err, RN_ERR_MISMATCH, "step 4 is not saved|last 1 steps",
                rn_saving_last(err, &f.saving));
    CHECK_EQUAL(f.saver.saved, 2);
    CHECK_EQUAL(f.saver.keep_last, 0);
    CHECK_EQUAL(f.saver.started, 1);
  }
}

static void an_unproven_save_is_dropped(void) {
  fake_run f;
  start_with_an_unproven_save(&f);
  CHECK_OK(err, rn_saving_end(err, &f.saving, RN_ERR_NUMERICS));
  CHECK_EQUAL(f.saver.dropped, 1);
  CHECK_EQUAL(f.saver.finished, 0);
  rn_err_clear(err);
  start_with_an_unproven_save(&f);
  CHECK_FAILS(err, RN_ERR_MISMATCH, "step 3 is not saved", rn_saving_last(err, &f.saving));
  CHECK_EQUAL(f.saver.dropped, 1);
  CHECK_EQUAL(f.saver.finished, 0);
}

/* No later step can prove the weights of the last save of a run, so that at least one older
 * checkpoint must be kept too. */
static void one_that_is_unproven_never_stands_alone(void) {
  static const int kept[][2] = {{0, 0}, {1, 2}, {2, 2}, {3, 3}};
  for (int i = 0; i < 4; i++) {
    fake_run f;
    start(&f, kept[i][0]);
    pass_steps(&f, 3);
    CHECK_OK(err, rn_saving_written(err, &f.saving));
    CHECK_EQUAL(f.saver.keep_last, kept[i][0]);
    CHECK_OK(err, rn_saving_last(err, &f.saving));
    CHECK_EQUAL(f.saver.saved, 3);
    CHECK_EQUAL(f.saver.keep_last, kept[i][1]);
  }
}

/* A bit flip was found: a save in progress is completed only if its weights were proven before. */
static void corrupted_memory_drops_an_unproven_save(void) {
  fake_run f;
  start(&f, 1);
  pass_steps(&f, 2);
  rn_saving_distrust(&f.saving);
  CHECK_OK(err, rn_saving_end(err, &f.saving, RN_ERR_MISMATCH));
  CHECK_EQUAL(f.saver.dropped, 1);
  CHECK_EQUAL(f.saver.finished, 0);
  rn_err_clear(err);
  start(&f, 1);
  pass_steps(&f, 3);
  rn_saving_distrust(&f.saving);
  CHECK_OK(err, rn_saving_end(err, &f.saving, RN_ERR_MISMATCH));
  CHECK_EQUAL(f.saver.saved, 2);
  rn_err_clear(err);
}

/* Saves step 2 and proves it, passes a bad step, and rolls back to step 2. */
static void roll_back(fake_run *f) {
  start(f, 1);
  pass_steps(f, 3);
  CHECK(rn_saving_is_proven(&f->saving, 2));
  pass_step(f, false);
  CHECK_OK(err, rn_saving_settle(err, &f->saving));
  CHECK_EQUAL(f->saver.saved, 2);
  f->counters.step = 2;
  f->counters.bad_steps = 0;
  rn_saving_rolled_back(&f->saving, 2);
}

/* The checkpoint to which a run rolls back stays proven, although the rollback undoes the good step
 * that proved it. */
static void a_rollback_keeps_its_checkpoint_proven(void) {
  fake_run f;
  roll_back(&f);
  CHECK(rn_saving_is_proven(&f.saving, 2));
  CHECK(!rn_saving_is_proven(&f.saving, 3));
  pass_step(&f, true);
  CHECK_EQUAL(f.saver.started, 1); /* the save that was due at step 4 is forgotten */
}

/* After a rollback the state differs from the checkpoint of that step in its data position, so a
 * stop must save the step again. */
static void a_stop_after_a_rollback_saves(void) {
  fake_run f;
  roll_back(&f);
  CHECK_OK(err, rn_saving_last(err, &f.saving));
  CHECK_EQUAL(f.saver.started, 2);
  CHECK_EQUAL(f.saver.finished, 2);
}

int main(void) {
  good_steps_save_and_prune();
  no_name_before_the_next_step_is_good();
  nothing_is_named_while_steps_are_skipped();
  a_proven_save_is_named_and_removes_none();
  an_unproven_save_is_dropped();
  one_that_is_unproven_never_stands_alone();
  corrupted_memory_drops_an_unproven_save();
  a_rollback_keeps_its_checkpoint_proven();
  a_stop_after_a_rollback_saves();
  return check_result();
}
