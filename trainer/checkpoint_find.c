#include "trainer/checkpoint_find.h"

#include <stdio.h>
#include <string.h>

#include "data/ckpt.h"
#include "proto/log.h"

static rn_status check_share(rn_err *err, rn_world *world, rn_ckpt *ckpt) {
  return rn_ckpt_check(err, ckpt, rn_world_rank(world), rn_world_size(world));
}

/* Of rank 0's search: the folder that it has opened goes to all. */
static rn_status check_together(void *context, rn_err *err, rn_ckpt *ckpt) {
  rn_world *world = context;
  rn_path path = {""};
  snprintf(path.text, sizeof path.text, "%s", rn_ckpt_path(ckpt));
  RN_TRY(err, rn_world_broadcast(err, world, &path, sizeof path));
  return rn_agree(err, world, check_share(err, world, ckpt));
}

static rn_status open_and_check_share(rn_err *err, rn_world *world, const char *path) {
  rn_ckpt *ckpt = NULL;
  rn_status status = rn_ckpt_open(err, path, &ckpt);
  if (status == RN_OK) status = check_share(err, world, ckpt);
  rn_ckpt_close(&ckpt);
  return status;
}

/* The other ranks: folder by folder as rank 0 comes to them, until it says none. */
static rn_status help(rn_err *err, rn_world *world) {
  rn_path path;
  for (;;) {
    RN_TRY(err, rn_world_broadcast(err, world, &path, sizeof path));
    if (path.text[0] == '\0') return RN_OK;
    const rn_status own = open_and_check_share(err, world, path.text);
    if (rn_agree(err, world, own) == RN_ERR_MPI) return RN_ERR_MPI;
    rn_err_clear(err);
  }
}

static void tell(void *context, const char *line) {
  (void)context;
  rn_log_warn("%s", line);
}

static rn_status search(rn_err *err, rn_world *world, const char *path, bool mark_bad, bool must,
                        rn_path *out) {
  const rn_ckpt_notes notes = {.tell = tell, .context = world, .check = check_together};
  rn_ckpt *ckpt = NULL;
  rn_path none = {""};
  rn_status status = rn_ckpt_find(err, path, mark_bad, &notes, &ckpt);
  if (status == RN_OK) snprintf(out->text, sizeof out->text, "%s", rn_ckpt_path(ckpt));
  rn_ckpt_close(&ckpt);
  if (status == RN_ERR_NOT_FOUND && !must) {
    rn_err_clear(err);
    status = RN_OK;
  }
  if (status == RN_ERR_MPI) return status;
  RN_TRY(err, rn_world_broadcast(err, world, &none, sizeof none));
  return status;
}

rn_status rn_checkpoint_find(rn_err *err, rn_world *world, const char *path, bool mark_bad,
                             bool must, rn_path *out) {
  memset(out, 0, sizeof *out);
  const rn_status status =
      rn_world_rank(world) == 0 ? search(err, world, path, mark_bad, must, out) : help(err, world);
  RN_TRY(err, rn_agree(err, world, status));
  return rn_world_broadcast(err, world, out, sizeof *out);
}
