#include "trainer/checkpoint/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "model/spec/spec_attention.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/options/options.h"
#include "proto/options/options_items.h"
#include "trainer/checkpoint/checkpoint_find.h"
#include "trainer/checkpoint/checkpoint_shards.h"
#include "trainer/checkpoint/checkpoint_streams.h"
#include "trainer/checkpoint/checkpoint_tokenizer.h"
#include "trainer/checkpoint/manifest.h"

/* Context of compare_key, which is called for every key. */
typedef struct comparison {
  rn_err *err;
  const Retnet__Config *old, *new;
  rn_status status;
  bool prints; /* print the keys that differ, if they may change */
} comparison;

/* True if the value of `key` must not change when a run is resumed. With checkpoint.reset_lanes the
 * TBPTT streams may start again from the beginning, so the keys that define how the data are cut
 * into streams may change. */
static bool is_fixed(const Retnet__Config *config, const char *key) {
  const bool cuts_streams =
      strcmp(key, "data.sequence_length") == 0 || strcmp(key, "data.batch_sequences") == 0;
  if (cuts_streams && config->data->carry_state && config->checkpoint->reset_lanes) return false;
  static const char *const free_keys[] = {"model.preset",   "model.dropout", "model.chunk",
                                          "model.products", "data.dir",      "data.val"};
  for (size_t i = 0; i < sizeof free_keys / sizeof free_keys[0]; i++) {
    if (strcmp(key, free_keys[i]) == 0) return false;
  }
  return strncmp(key, "model.", 6) == 0 || strncmp(key, "data.", 5) == 0 ||
         strcmp(key, "run.seed") == 0 || strcmp(key, "run.reproducible") == 0;
}

static void compare_key(void *self, const char *key) {
  comparison *c = self;
  char was[RN_OPTIONS_TEXT_BYTES], is[RN_OPTIONS_TEXT_BYTES];
  rn_options_text(c->old, key, was, sizeof was);
  rn_options_text(c->new, key, is, sizeof is);
  if (strcmp(was, is) == 0) return;
  if (!is_fixed(c->new, key)) {
    if (c->prints) rn_log_info("resume: %s was %s, is now %s", key, was, is);
  } else {
    c->status =
        rn_fail(c->err, RN_ERR_USAGE,
                "%s was %s in the checkpoint and is %s now, but this key must not change during a "
                "run; start a new run.dir (checkpoint.init_from can initialize its weights)",
                key, was, is);
  }
}

/* Warns about a key whose value differs from the one the weights were trained with, although all
 * tensor sizes match. */
static void warn_key(void *self, const char *key) {
  const comparison *c = self;
  char was[RN_OPTIONS_TEXT_BYTES], is[RN_OPTIONS_TEXT_BYTES];
  if (strncmp(key, "model.", 6) != 0 || !is_fixed(c->new, key)) return;
  if (strcmp(key, "model.init") == 0) return;
  rn_options_text(c->old, key, was, sizeof was);
  rn_options_text(c->new, key, is, sizeof is);
  if (strcmp(was, is) == 0) return;
  rn_log_warn("checkpoint.init_from: %s was %s when the weights were trained, but it is %s now",
              key, was, is);
}

/* Copies a configuration and gives its attention keys one common value where several values have
 * the same meaning. */
static rn_status copy_settled(rn_err *err, const Retnet__Config *config, Retnet__Config **out) {
  RN_TRY(err, rn_options_copy(err, config, out));
  rn_spec_settle_attention((*out)->model);
  return RN_OK;
}

/* Calls `visit`, which compares the values of one key, for every key. The effective values are
 * compared, not those that the user gave, and different values with the same meaning count as
 * equal. Older checkpoints store only what the user gave, so their effective values are derived
 * first. */
static rn_status compare_keys(rn_err *err, const Retnet__Config *config, const Retnet__Manifest *m,
                              bool prints, void (*visit)(void *, const char *)) {
  rn_effective resolved = {0};
  if (m->effective == NULL) {
    RN_TRY(err, rn_effective_create(err, m->config, m->vocabulary->size, &resolved));
  }
  Retnet__Config *old = NULL, *new = NULL;
  rn_status status = copy_settled(err, m->effective != NULL ? m->effective : resolved.config, &old);
  if (status == RN_OK) status = copy_settled(err, config, &new);
  comparison c = {err, old, new, status, prints};
  if (status == RN_OK) rn_options_each(visit, &c);
  rn_options_free(&old);
  rn_options_free(&new);
  rn_effective_destroy(&resolved);
  return c.status;
}

/* Checks that the training data have the same contents, weights and order as before; their paths
 * may differ. */
static rn_status compare_data(rn_err *err, const rn_run *run, const Retnet__Manifest *m) {
  const Retnet__Config *old = m->effective != NULL ? m->effective : m->config;
  const char *is = run->settings.config->data->dir;
  const char *was = old->data != NULL && old->data->dir != NULL ? old->data->dir : "unknown";
  if (m->split == NULL || m->split->content_sum == run->datasets.content) return RN_OK;
  if (!rn_options_is_list(is) && !rn_options_is_list(was)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "data.dir %s does not contain the data with which this run was trained so far",
                   is);
  }
  return rn_fail(err, RN_ERR_USAGE,
                 "the training data must not change during a run, but the contents, the weights or "
                 "the order of the folders differ: data.dir was %s in the checkpoint and is %s "
                 "now; start a new run.dir (checkpoint.init_from can initialize its weights)",
                 was, is);
}

static rn_status compare(rn_err *err, const rn_run *run, const Retnet__Manifest *m) {
  const Retnet__Config *config = run->settings.config;
  const bool prints = rn_world_rank(run->parallel.world) == 0;
  RN_TRY(err, compare_keys(err, config, m, prints, compare_key));
  return compare_data(err, run, m);
}

/* Loads the positions and states of the TBPTT streams, the counters and the spike guard. */
static rn_status load_progress(rn_err *err, rn_run *run, rn_ckpt *ckpt) {
  RN_TRY(err, rn_streams_load(err, &run->data, ckpt));
  run->counters = rn_manifest_counters(rn_ckpt_manifest(ckpt));
  rn_spike_guard_load(&run->spikes, rn_ckpt_manifest(ckpt)->spike_guard);
  return RN_OK;
}

/* Agrees on the status of a load, and sends the loaded weights to all ranks. */
static rn_status distribute(rn_err *err, rn_run *run, rn_status loaded) {
  RN_TRY(err, rn_agree(err, run->parallel.world, loaded));
  RN_TRY(err, rn_weights_start_fetch(err, &run->model.weights));
  return rn_weights_finish_fetch(err, &run->model.weights);
}

static rn_status load(rn_err *err, rn_run *run, const char *path, bool weights_only) {
  rn_ckpt *ckpt = NULL;
  rn_progress_begin("load checkpoint", run->counters.step);
  rn_status status = rn_ckpt_open(err, path, &ckpt);
  if (status == RN_OK) {
    status =
        rn_checkpoint_check_tokenizer(err, path, rn_ckpt_manifest(ckpt)->vocabulary,
                                      &run->datasets.train[0].split, run->datasets.train[0].dir);
  }
  if (status == RN_OK && !weights_only) {
    status = compare(err, run, rn_ckpt_manifest(ckpt));
  }
  if (status == RN_OK) {
    status = rn_shards_load(err, ckpt, &run->model.weights, weights_only ? NULL : &run->optimizer);
  }
  if (status == RN_OK && weights_only && rn_world_rank(run->parallel.world) == 0) {
    status = compare_keys(err, run->settings.config, rn_ckpt_manifest(ckpt), true, warn_key);
  }
  if (status == RN_OK && !weights_only) status = load_progress(err, run, ckpt);
  rn_ckpt_close(&ckpt);
  return distribute(err, run, status);
}

rn_status rn_checkpoint_reload(rn_err *err, const char *path, rn_run *run) {
  rn_ckpt *ckpt = NULL;
  rn_replica_check_forget(&run->replicas);
  rn_progress_begin("load checkpoint", run->counters.step);
  rn_status status = rn_ckpt_open(err, path, &ckpt);
  if (status == RN_OK) status = rn_shards_load(err, ckpt, &run->model.weights, &run->optimizer);
  if (status == RN_OK) status = load_progress(err, run, ckpt);
  rn_ckpt_close(&ckpt);
  return distribute(err, run, status);
}

rn_status rn_checkpoint_resume(rn_err *err, const rn_checkpoint_source *source, rn_run *run) {
  if (source->path.text[0] == '\0') return RN_OK;
  return load(err, run, source->path.text, source->weights_only);
}

/* Fails if a path that the user has given does not exist. The message also lists the accepted
 * keywords, because the user may have given a keyword of another program. */
static rn_status check_given(rn_err *err, const char *key, const char *path) {
  bool exists;
  RN_TRY(err, rn_file_find(err, path, &exists));
  if (exists) return RN_OK;
  return rn_fail(err, RN_ERR_NOT_FOUND, "%s: %s does not exist%s", key, path,
                 strcmp(key, "checkpoint.resume") == 0
                     ? "; use 'auto' to continue from the newest checkpoint in run.dir, 'never' to "
                       "start a new run, or the path of a checkpoint"
                     : "");
}

/* Finds the checkpoint at a path that the user has given. */
static rn_status find_given(rn_err *err, rn_world *world, const char *key, const char *path,
                            rn_path *out) {
  const bool root = rn_world_rank(world) == 0;
  RN_TRY(err, rn_agree(err, world, root ? check_given(err, key, path) : RN_OK));
  return rn_checkpoint_find(err, world, path,
                            (rn_find_options){.must = true, .timeout_s = RN_FIND_TIMEOUT_S}, out);
}

static void warn_ignored(const Retnet__Config *c, const char *key, const char *path,
                         const char *found) {
  rn_log_warn(
      "%s %s is ignored: %s has checkpoints, and the run continues from %s; to use %s, choose "
      "another run.dir",
      key, path, c->run->dir, found, path);
}

static bool is_same_folder(const char *a, const char *b) {
  char *of_a = realpath(a, NULL), *of_b = realpath(b, NULL);
  const bool same = of_a != NULL && of_b != NULL && strcmp(of_a, of_b) == 0;
  free(of_a);
  free(of_b);
  return same;
}

/* Reports keys that have no effect because the run continues from checkpoint `found` in run.dir.
 * checkpoint.resume may name `found` or run.dir. Any other path is ignored with a warning, because
 * it may no longer exist; a word that is neither a keyword nor a path is an error.
 * checkpoint.init_from is only logged, because it normally stays in the configuration of a requeued
 * run. Rank 0 only. */
static rn_status check_ignored(rn_err *err, const Retnet__Config *c, const char *found) {
  const char *resume = c->checkpoint->resume, *init = c->checkpoint->init_from;
  if (strcmp(resume, "auto") != 0 && !is_same_folder(resume, found) &&
      !is_same_folder(resume, c->run->dir)) {
    if (strchr(resume, '/') == NULL) RN_TRY(err, check_given(err, "checkpoint.resume", resume));
    warn_ignored(c, "checkpoint.resume", resume, found);
  }
  if (init[0] != '\0') {
    rn_log_info(
        "checkpoint.init_from %s is not used: %s has checkpoints, so the run continues from %s",
        init, c->run->dir, found);
  }
  return RN_OK;
}

static rn_status find(rn_err *err, const Retnet__Config *c, rn_world *world,
                      rn_checkpoint_source *out) {
  const char *resume = c->checkpoint->resume;
  const bool never = strcmp(resume, "never") == 0, own = never || strcmp(resume, "auto") == 0;
  rn_progress_begin("find checkpoint", 0);
  RN_TRY(err,
         rn_checkpoint_find(err, world, c->run->dir,
                            (rn_find_options){.mark_bad = !never, .timeout_s = RN_FIND_TIMEOUT_S},
                            &out->path));
  if (out->path.text[0] != '\0' && never) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "checkpoint.resume is never, but %s contains checkpoints: choose another run.dir",
        c->run->dir);
  }
  const bool root = rn_world_rank(world) == 0;
  if (out->path.text[0] != '\0') {
    return rn_agree(err, world, root ? check_ignored(err, c, out->path.text) : RN_OK);
  }
  if (!own) {
    if (c->checkpoint->init_from[0] != '\0') {
      rn_log_warn("checkpoint.init_from is ignored: checkpoint.resume is also given");
    }
    return find_given(err, world, "checkpoint.resume", resume, &out->path);
  }
  if (c->checkpoint->init_from[0] == '\0') return RN_OK;
  out->weights_only = true;
  return find_given(err, world, "checkpoint.init_from", c->checkpoint->init_from, &out->path);
}

rn_status rn_checkpoint_select(rn_err *err, const Retnet__Config *config, rn_world *world,
                               rn_checkpoint_source *out) {
  memset(out, 0, sizeof *out);
  RN_TRY(err, find(err, config, world, out));
  if (out->path.text[0] == '\0' || out->weights_only) return RN_OK;
  rn_status status = RN_OK;
  if (rn_world_rank(world) == 0) {
    rn_ckpt *ckpt = NULL;
    status = rn_ckpt_open(err, out->path.text, &ckpt);
    if (status == RN_OK) rn_choices_read(rn_ckpt_manifest(ckpt), &out->choices);
    rn_ckpt_close(&ckpt);
  }
  RN_TRY(err, rn_agree(err, world, status));
  return rn_world_broadcast(err, world, &out->choices, sizeof out->choices);
}
