/* retnet-eval computes loss, perplexity and bits per byte of a checkpoint on a data folder. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "comm/world/cores.h"
#include "comm/world/watchdog.h"
#include "model/base/blas.h"
#include "model/base/threads.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/cli/args.h"
#include "proto/cli/program.h"
#include "proto/options/options.h"
#include "trainer/checkpoint/checkpoint_find.h"
#include "trainer/checkpoint/checkpoint_tokenizer.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/launch/blas_check.h"
#include "trainer/launch/gemm_agree.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/core_check.h"
#include "trainer/machine/program_version.h"
#include "trainer/machine/thread_limit.h"

typedef struct options {
  const char *checkpoint, *data, *form;
  int64_t sequence_length;
  bool json;
  rn_words overrides;
  rn_args_found found;
} options;

static rn_status parse(rn_err *err, int argc, char **argv, options *o) {
  const rn_arg table[] = {
      {0, "checkpoint", "DIR",
       "checkpoint (step folder), or run directory (newest valid checkpoint)", RN_ARG_PATH,
       &o->checkpoint, 0, 0},
      {0, "data", "DIR", "data folder; its val split is read", RN_ARG_PATH, &o->data, 0, 0},
      {0, "form", "FORM", "chunkwise (default), parallel or recurrent", RN_ARG_TEXT, &o->form, 0,
       0},
      {0, "sequence-length", "T", "tokens per sequence (default: as in training)", RN_ARG_INTEGER,
       &o->sequence_length, 1, 1 << 30},
      {'s', NULL, "parallel.key=value",
       "set a parallel.* key or run.watchdog_s; all other keys come from the checkpoint",
       RN_ARG_LIST, &o->overrides, 0, 0},
      {0, "json", NULL, "print one JSON object on stdout", RN_ARG_SWITCH, &o->json, 0, 0}};
  const rn_args args = {
      .program = "retnet-eval",
      .form =
          "--checkpoint DIR --data DIR [--form FORM] [--sequence-length T] [-s key=value]... "
          "[--json]",
      .about =
          "Evaluates a checkpoint on the val split of a data folder: loss, perplexity and bits "
          "per byte, and the loss by position in the sequence.",
      .example = "mpirun -np 4 retnet-eval --checkpoint RUN --data DATA",
      .options = table,
      .count = (int)(sizeof table / sizeof table[0])};
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  if (rn_args_answer(&args, &o->found, rn_program_version)) return RN_OK;
  if (o->checkpoint == NULL || o->data == NULL) {
    return rn_fail(err, RN_ERR_USAGE, "--checkpoint and --data are required; see --help");
  }
  return RN_OK;
}

static void print_json(const rn_evaluation *e, const char *form, int64_t step) {
  const int64_t longest = e->tokens < e->sequence_length ? e->tokens : e->sequence_length;
  printf("{\"loss\": %s, \"perplexity\": %s, \"bits_per_byte\": %s, ", RN_JSON_EXACT(e->loss),
         RN_JSON_EXACT(exp(e->loss)), RN_JSON_EXACT(e->bits_per_byte));
  printf(
      "\"tokens\": %lld, \"sequences\": %lld, \"sequence_length\": %d, \"form\": \"%s\", "
      "\"step\": %lld, \"by_position\": [",
      (long long)e->tokens, (long long)e->sequences, e->sequence_length, form, (long long)step);
  for (int i = 0; i < e->buckets; i++) {
    const int64_t to = (INT64_C(2) << i) - 1;
    printf("%s{\"from\": %lld, \"to\": %lld, \"loss\": %s}", i > 0 ? ", " : "",
           (long long)((INT64_C(1) << i) - 1), (long long)(to < longest ? to : longest),
           RN_JSON_EXACT(e->bucket_loss[i]));
  }
  printf("]}\n");
}

static void print_table(const rn_evaluation *e, const char *form, int64_t step) {
  char bits[32] = "unknown";
  if (isfinite(e->bits_per_byte)) snprintf(bits, sizeof bits, "%.4f", e->bits_per_byte);
  printf(
      "step %lld, %s: loss %.6f  perplexity %.4f  bits per byte %s  (%lld targets, %lld "
      "sequences of %d)\n",
      (long long)step, form, e->loss, exp(e->loss), bits, (long long)e->tokens,
      (long long)e->sequences, e->sequence_length);
  for (int i = 0; i < e->buckets; i++) {
    printf("  positions from %8lld  loss %.4f\n", (long long)((INT64_C(1) << i) - 1),
           e->bucket_loss[i]);
  }
}

/* Reads the keys of the command line. Only keys of the layout and the watchdog are accepted; all
 * other keys come from the checkpoint. */
static rn_status read_keys(rn_err *err, const options *o, Retnet__Config **config) {
  static const char section[] = "parallel.", watchdog[] = "run.watchdog_s=";
  for (int i = 0; i < o->overrides.count; i++) {
    if (strncmp(o->overrides.word[i], section, sizeof section - 1) == 0) continue;
    if (strncmp(o->overrides.word[i], watchdog, sizeof watchdog - 1) == 0) continue;
    return rn_fail(err, RN_ERR_USAGE, "-s %s: evaluation accepts only %s* keys and run.watchdog_s",
                   o->overrides.word[i], section);
  }
  return rn_options_load(err, NULL, o->overrides.word, o->overrides.count, config);
}

/* Checks that all ranks see the same split, because they derive their work from the number of
 * sequences. */
static rn_status check_same_split(rn_err *err, rn_world *world, const rn_split *split) {
  const uint64_t val[2] = {split->content, (uint64_t)split->tokens};
  return rn_world_check_same(err, world, "the validation data", val, sizeof val);
}

static rn_status start_threads(rn_err *err, rn_world *world, int asked) {
  rn_cores cores;
  RN_TRY(err, rn_cores_detect(err, world, &cores));
  const int threads = rn_cores_threads(cores, asked);
  RN_TRY(err, rn_agree(err, world, rn_thread_limit_check(err, threads)));
  rn_core_check(cores, asked);
  rn_binding_decide(cores, threads);
  rn_threads_start(threads);
  return RN_OK;
}

/*
 * Finds the checkpoint once for all ranks, since an active run may write a newer one meanwhile.
 * Sets *gone to true if the run removed the checkpoint before all ranks had loaded it.
 */
static rn_status open_model(rn_err *err, rn_world *world, const options *o,
                            rn_checkpoint_model *model, bool *gone) {
  rn_path found;
  rn_progress_begin("find checkpoint", 0);
  RN_TRY(err, rn_checkpoint_find(err, world, o->checkpoint,
                                 (rn_find_options){.must = true, .timeout_s = RN_FIND_TIMEOUT_S},
                                 &found));
  rn_progress_begin("load checkpoint", 0);
  const rn_status status = rn_checkpoint_model_open_found(err, found.text, model);
  int64_t again =
      status != RN_OK && !rn_file_exists(found.text) && !rn_ckpt_is_step_folder(o->checkpoint);
  RN_TRY(err, rn_world_max(err, world, &again, 1));
  *gone = again != 0;
  return rn_agree(err, world, status);
}

static rn_status open_input(rn_err *err, rn_world *world, const options *o,
                            rn_checkpoint_model *model, rn_split *split) {
  enum { MAX_TRIES = 16 };
  bool gone = true;
  rn_status status = RN_OK;
  for (int i = 0; i < MAX_TRIES && gone; i++) {
    gone = false;
    rn_err_clear(err);
    rn_checkpoint_model_close(model);
    status = open_model(err, world, o, model, &gone);
  }
  if (status != RN_OK) return status;
  status = rn_split_open(err, o->data, "val", split);
  if (status == RN_OK) {
    status = rn_checkpoint_check_tokenizer(err, o->checkpoint, model->manifest->vocabulary, split,
                                           o->data);
  }
  RN_TRY(err, rn_agree(err, world, status));
  return check_same_split(err, world, split);
}

static rn_status evaluate(rn_err *err, rn_world *world, const options *o,
                          const Retnet__Parallel *parallel) {
  static const char *const forms[] = {"chunkwise", "parallel", "recurrent"};
  rn_checkpoint_model model = {0};
  rn_split split = {0};
  rn_evaluation e;
  int form = RN_FORM_CHUNKWISE;
  if (o->form != NULL) RN_TRY(err, rn_args_choose(err, "--form", o->form, forms, 3, &form));
  rn_status status = open_input(err, world, o, &model, &split);
  if (status == RN_OK) status = rn_gemm_agree(err, world);
  if (status == RN_OK) {
    const int length = o->sequence_length > 0
                           ? (int)o->sequence_length
                           : rn_ckpt_config(model.manifest)->data->sequence_length;
    const rn_evaluation_options how = {(rn_form)form, length, parallel};
    status = rn_evaluate(err, world, &model, &split, &how, &e);
  }
  if (status == RN_OK && !isfinite(e.loss)) {
    rn_log_warn("the loss is not a finite number: the model of step %lld has diverged",
                (long long)model.manifest->step);
  }
  if (status == RN_OK && rn_world_rank(world) == 0) {
    (o->json ? print_json : print_table)(&e, forms[form], model.manifest->step);
  }
  rn_split_close(&split);
  rn_checkpoint_model_close(&model);
  return status;
}

static rn_status run(rn_err *err, rn_world *world, const options *o) {
  Retnet__Config *config = NULL;
  rn_watchdog *watchdog = NULL;
  rn_status status = rn_agree(err, world, read_keys(err, o, &config));
  if (status == RN_OK) status = start_threads(err, world, config->parallel->threads);
  if (status == RN_OK) {
    status = rn_watchdog_start(err, world, config->run->watchdog_s, &watchdog);
  }
  if (status == RN_OK) status = evaluate(err, world, o, config->parallel);
  if (status != RN_ERR_MPI) rn_watchdog_stop(&watchdog);
  rn_options_free(&config);
  return status;
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options o = {0};
  rn_world *world = NULL;
  rn_program_start();
  rn_status status = parse(&err, argc, argv, &o);
  if (status != RN_OK || rn_args_asks(&o.found)) {
    return rn_program_finish("retnet-eval", status, &err);
  }
  rn_err blas = {0};
  const rn_status loaded = rn_blas_load(&blas);
  status = rn_launch(&err, &argc, &argv, NULL, &o.overrides, &world);
  if (status == RN_OK) {
    rn_log_setup(rn_world_rank(world) != 0, o.json);
    status = rn_blas_agree(&err, world, loaded, &blas);
  }
  if (status == RN_OK) {
    rn_blas_report();
    status = run(&err, world, &o);
  }
  rn_words_free(&o.overrides);
  rn_words_free(&o.found.words);
  return rn_world_finish(&world, status, &err);
}
