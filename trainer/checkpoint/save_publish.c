#include "trainer/checkpoint/save_publish.h"

#include <stdlib.h>

#include "comm/world/collective_wait.h"
#include "proto/base/arena.h"

/* Arguments of commit, which runs on rank 0. `reports` holds the reports of all ranks,
 * concatenated. */
typedef struct commit_work {
  const rn_run *run;
  rn_run_lock *lock;
  const rn_saved_state *state;
  char *reports;
  const size_t *sizes;
} commit_work;

static rn_status commit(rn_err *err, void *context) {
  const commit_work *w = context;
  const rn_run *run = w->run;
  const rn_manifest_run about = {&run->settings, &run->datasets, run->parallel.scan.algorithm};
  const int ranks = rn_world_size(run->parallel.world);
  rn_ckpt_report *reports;
  RN_TRY(err, rn_run_lock_verify(err, w->lock));
  RN_TRY(err, rn_alloc(err, "reports", (size_t)ranks, sizeof *reports, &reports));
  size_t offset = 0;
  for (int r = 0; r < ranks; r++) {
    reports[r] = (rn_ckpt_report){.bytes = (uint8_t *)w->reports + offset, .size = w->sizes[r]};
    offset += w->sizes[r];
  }
  rn_status status = rn_manifest_commit(err, &about, w->state, reports, ranks);
  free(reports);
  return status;
}

static double sum_of(int count, const double *values) {
  double sum = 0;
  for (int i = 0; i < count; i++) sum += values[i];
  return sum;
}

static rn_status sum_bytes(rn_err *err, rn_world *world, rn_save_bytes *bytes) {
  const int ranks = rn_world_size(world);
  double *all;
  RN_TRY(err,
         rn_agree(err, world,
                  rn_alloc(err, "checkpoint bytes by rank", (size_t)ranks, sizeof *all, &all)));
  rn_status status = rn_world_all_gather_double(err, world, bytes->raw, all);
  bytes->raw = sum_of(ranks, all);
  if (status == RN_OK) status = rn_world_all_gather_double(err, world, bytes->stored, all);
  bytes->stored = sum_of(ranks, all);
  free(all);
  return status;
}

rn_status rn_save_publish(rn_err *err, const rn_run *run, rn_run_lock *lock,
                          const rn_saved_state *state, const rn_ckpt_report *report,
                          rn_save_bytes *bytes) {
  rn_world *world = run->parallel.world;
  commit_work work = {.run = run, .lock = lock, .state = state};
  size_t *sizes = NULL;
  RN_TRY(err,
         rn_world_gather_bytes(err, world, report->bytes, report->size, &work.reports, &sizes));
  work.sizes = sizes;
  rn_status status = sum_bytes(err, world, bytes);
  if (status == RN_OK) {
    status = rn_collective_wait_for_root(err, world, commit, &work);
    if (status != RN_ERR_MPI) status = rn_agree(err, world, status);
  }
  free(work.reports);
  free(sizes);
  return status;
}
