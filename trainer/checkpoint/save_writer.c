#include "trainer/checkpoint/save_writer.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/affinity.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"

/* Nice value of the writer thread, so that training threads have priority. */
enum { LOW_PRIORITY = 10 };

struct rn_save_writer {
  rn_write_token *write_token; /* not owned */
  float *copy;                 /* [copy_elements] contiguous copy of the slices; NULL: no copy */
  int64_t copy_elements;
  pthread_t thread;
  bool has_thread;
  atomic_bool writing;
  /* Input of the thread. */
  rn_path stage_path;
  int level;
  const rn_ckpt_slice *slices;
  int count;
  double copy_s; /* time of the copy; only the calling thread accesses it */
  /* Output of the thread, valid once the thread has stopped writing. */
  rn_status status;
  rn_err err;
  rn_ckpt_report report;
  double write_s;
};

rn_status rn_save_writer_create(rn_err *err, rn_write_token *write_token, int64_t copy_elements,
                                rn_save_writer **out) {
  rn_save_writer *w;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "checkpoint writer", 1, sizeof *w, &w));
  w->write_token = write_token;
  w->copy_elements = copy_elements;
  rn_status status = RN_OK;
  if (copy_elements > 0) {
    status = rn_alloc(err, "checkpoint copy", (size_t)copy_elements, sizeof *w->copy, &w->copy);
  }
  if (status != RN_OK) {
    free(w);
    return status;
  }
  *out = w;
  return RN_OK;
}

static void join(rn_save_writer *w) {
  if (w->has_thread) pthread_join(w->thread, NULL);
  w->has_thread = false;
}

void rn_save_writer_destroy(rn_save_writer **writer) {
  rn_save_writer *w = *writer;
  if (w == NULL) return;
  rn_write_token_cancel(w->write_token);
  join(w);
  free(w->report.bytes);
  free(w->copy);
  free(w);
  *writer = NULL;
}

/* ---- the thread ---- */

/* Appends the slices to the shared file, after the previous rank has written its slices. */
static rn_status write_slices(rn_save_writer *w) {
  rn_ckpt_output output = {.stage_path = w->stage_path.text,
                           .index = rn_write_token_first(w->write_token),
                           .level = w->level};
  rn_status status = rn_write_token_wait(&w->err, w->write_token, &output.offset);
  if (status == RN_OK) {
    status = rn_ckpt_write_file(&w->err, output, w->slices, w->count, &w->report);
  }
  rn_write_token_pass(w->write_token, status, output.offset + w->report.stored_bytes);
  return status;
}

static void *run_thread(void *self) {
  rn_save_writer *w = self;
  const double begin_s = rn_clock_s();
  if (w->copy != NULL) setpriority(PRIO_PROCESS, (id_t)gettid(), LOW_PRIORITY);
  w->status = write_slices(w);
  w->write_s = rn_clock_s() - begin_s;
  atomic_store(&w->writing, false);
  return NULL;
}

/* ---- a save ---- */

static void copy_slices(rn_save_writer *w, rn_ckpt_slice *slices, int count) {
  const double begin_s = rn_clock_s();
  float *to = w->copy;
  for (int i = 0; i < count; i++) {
    assert(to + slices[i].count <= w->copy + w->copy_elements);
    memcpy(to, slices[i].data, (size_t)slices[i].count * sizeof *to);
    slices[i].data = to;
    to += slices[i].count;
  }
  w->copy_s = rn_clock_s() - begin_s;
}

void rn_save_writer_start(rn_save_writer *w, rn_path stage_path, int level, rn_ckpt_slice *slices,
                          int count) {
  assert(!rn_save_writer_is_writing(w));
  if (w->copy != NULL) copy_slices(w, slices, count);
  w->stage_path = stage_path;
  w->level = level;
  w->slices = slices;
  w->count = count;
  atomic_store(&w->writing, true);
  w->has_thread = rn_thread_create(&w->thread, run_thread, w) == 0;
  if (!w->has_thread) run_thread(w);
}

bool rn_save_writer_is_writing(const rn_save_writer *w) {
  return atomic_load(&w->writing);
}

rn_status rn_save_writer_finish(rn_err *err, rn_save_writer *w, rn_ckpt_report *report) {
  join(w);
  *err = w->err;
  *report = w->report;
  w->err = (rn_err){0};
  w->report = (rn_ckpt_report){0};
  return w->status;
}

double rn_save_writer_copy_s(const rn_save_writer *w) {
  return w->copy_s;
}

double rn_save_writer_write_s(const rn_save_writer *w) {
  return rn_save_writer_is_writing(w) ? 0 : w->write_s;
}
