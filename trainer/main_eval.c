/* retnet-eval computes loss, perplexity and bits per byte of a checkpoint on a data folder. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/world/cores.h"
#include "comm/world/watchdog.h"
#include "model/base/blas.h"
#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/cli/args.h"
#include "proto/cli/program.h"
#include "proto/options/options.h"
#include "trainer/checkpoint/checkpoint_find.h"
#include "trainer/checkpoint/checkpoint_tokenizer.h"
#include "trainer/evaluate/print.h"
#include "trainer/evaluate/requests_score.h"
#include "trainer/launch/blas_check.h"
#include "trainer/launch/gemm_agree.h"
#include "trainer/launch/host_check.h"
#include "trainer/launch/launch.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/core_check.h"
#include "trainer/machine/program_version.h"
#include "trainer/machine/thread_limit.h"

typedef struct options {
  const char *checkpoint, *requests, *token_file, *form_name;
  int form; /* index of `form_name` in forms[]; an rn_form */
  int64_t sequence_length, stride;
  bool json, by_document;
  rn_words data, overrides;
  rn_args_found found;
} options;

static const char *const forms[] = {"chunkwise", "parallel", "recurrent"};

static const char about[] =
    "Evaluates a checkpoint on the val split of data folders: loss, perplexity and bits per byte, "
    "and the loss by position in the sequence. Every token is scored once.\n"
    "--by-document evaluates each document by itself, from its beginning. --stride gives the "
    "tokens of long texts more context, as Hugging Face's sliding-window perplexity does; a "
    "retentive network keeps its context in the state, so a larger --sequence-length costs less.\n"
    "--requests computes the log-likelihoods that lm-evaluation-harness requests: each line of "
    "FILE is {\"context\": ..., \"continuation\": ...}, and the result is a line "
    "{\"log_likelihood\": ..., \"is_greedy\": ..., \"tokens\": ...}.";

static rn_status check(rn_err *err, options *o) {
  RN_TRY(err, rn_args_choose(err, "--form", o->form_name, forms, 3, &o->form));
  if (o->checkpoint == NULL || (o->data.count == 0 && o->requests == NULL)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--checkpoint and one of --data and --requests are required; see --help");
  }
  if (o->requests != NULL && (o->data.count > 0 || o->stride > 0 || o->by_document)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--requests cannot be combined with --data, --stride or --by-document");
  }
  for (int i = 0; i < o->data.count; i++) {
    if (o->data.word[i][0] == '\0') {
      return rn_fail(err, RN_ERR_USAGE,
                     "--data is empty: give a path (is a shell variable unset?)");
    }
  }
  return RN_OK;
}

static rn_status parse(rn_err *err, int argc, char **argv, options *o) {
  const rn_arg table[] = {
      {0, "checkpoint", "DIR",
       "checkpoint (step folder), or run directory (newest valid checkpoint)", RN_ARG_PATH,
       &o->checkpoint, 0, 0},
      {0, "data", "DIR", "data folder; its val split is read; may be repeated", RN_ARG_LIST,
       &o->data, 0, 0},
      {0, "form", "FORM", "chunkwise (default), parallel or recurrent", RN_ARG_TEXT, &o->form_name,
       0, 0},
      {0, "sequence-length", "T", "tokens per sequence (default: as in training)", RN_ARG_INTEGER,
       &o->sequence_length, 1, 1 << 30},
      {0, "stride", "S",
       "begin a sequence every S tokens; a token that is in several sequences is scored in the one "
       "in which it has the most context (default: the sequence length, so that sequences do not "
       "overlap)",
       RN_ARG_INTEGER, &o->stride, 1, 1 << 30},
      {0, "by-document", NULL, "also print loss and perplexity of each document", RN_ARG_SWITCH,
       &o->by_document, 0, 0},
      {0, "requests", "FILE",
       "JSON lines with contexts and continuations to score, instead of the data folders",
       RN_ARG_PATH, &o->requests, 0, 0},
      {0, "token-file", "FILE", "write the log-likelihood of every token to FILE, as JSON lines",
       RN_ARG_PATH, &o->token_file, 0, 0},
      {'s', NULL, "parallel.key=value",
       "set a parallel.* key or run.watchdog_s; all other keys come from the checkpoint",
       RN_ARG_LIST, &o->overrides, 0, 0},
      {0, "json", NULL, "print one JSON object on stdout", RN_ARG_SWITCH, &o->json, 0, 0}};
  const rn_args args = {
      .program = "retnet-eval",
      .form =
          "--checkpoint DIR {--data DIR... | --requests FILE} [--form FORM] "
          "[--sequence-length T] [--stride S] [--by-document] [--token-file FILE] "
          "[-s key=value]... [--json]",
      .about = about,
      .example =
          "mpirun -np 4 retnet-eval --checkpoint RUN --data DATA\n"
          "retnet-eval --checkpoint RUN --data BOOKS --data NEWS --by-document --json\n"
          "retnet-eval --checkpoint RUN --requests requests.jsonl > results.jsonl",
      .options = table,
      .count = (int)(sizeof table / sizeof table[0])};
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  if (rn_args_answer(&args, &o->found, rn_program_version)) return RN_OK;
  return check(err, o);
}

/* Warns of a key that evaluation does not use. `word` is "parallel.NAME=VALUE". */
static void report_unused(const char *word) {
  static const char *const used[] = {"data",    "pipeline", "sequence",
                                     "threads", "scan",     "comm_thread"};
  const char *name = strchr(word, '.') + 1;
  const size_t length = strcspn(name, "=");
  for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
    if (strlen(used[i]) == length && memcmp(used[i], name, length) == 0) return;
  }
  rn_log_warn("-s %s has no effect: evaluation does not use the key", word);
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
  RN_TRY(err, rn_options_load(err, NULL, o->overrides.word, o->overrides.count, config));
  for (int i = 0; i < o->overrides.count; i++) {
    if (strncmp(o->overrides.word[i], section, sizeof section - 1) != 0) continue;
    report_unused(o->overrides.word[i]);
  }
  return RN_OK;
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
      status != RN_OK && rn_file_is_missing(found.text) && !rn_ckpt_is_step_folder(o->checkpoint);
  RN_TRY(err, rn_world_max(err, world, &again, 1));
  *gone = again != 0;
  return rn_agree(err, world, status);
}

static rn_status open_newest(rn_err *err, rn_world *world, const options *o,
                             rn_checkpoint_model *model) {
  enum { MAX_TRIES = 16 };
  bool gone = true;
  rn_status status = RN_OK;
  for (int i = 0; i < MAX_TRIES && gone; i++) {
    gone = false;
    rn_err_clear(err);
    rn_checkpoint_model_close(model);
    status = open_model(err, world, o, model, &gone);
  }
  return status;
}

/* ---- data folders ---- */

static rn_status open_split(rn_err *err, rn_world *world, const options *o, const char *data,
                            const rn_checkpoint_model *model, rn_split *split) {
  rn_status status = rn_split_open(err, data, "val", split);
  if (status == RN_OK) {
    status =
        rn_checkpoint_check_tokenizer(err, o->checkpoint, model->manifest->vocabulary, split, data);
  }
  RN_TRY(err, rn_agree(err, world, status));
  return check_same_split(err, world, split);
}

static int sequence_length(const options *o, const rn_checkpoint_model *model) {
  return o->sequence_length > 0 ? (int)o->sequence_length
                                : rn_ckpt_config(model->manifest)->data->sequence_length;
}

/* Evaluates the split of the data folder with index how.set. */
static rn_status evaluate_set(rn_err *err, rn_world *world, const options *o,
                              const rn_checkpoint_model *model, rn_evaluation_options how,
                              rn_set_result *result) {
  rn_split split = {0};
  result->data = o->data.word[how.set];
  if (o->by_document) {
    how.documents = &result->document;
    how.document_count = &result->documents;
  }
  rn_status status = open_split(err, world, o, result->data, model, &split);
  if (status == RN_OK) status = rn_evaluate(err, world, model, &split, &how, &result->evaluation);
  if (status == RN_OK && !isfinite(result->evaluation.loss)) {
    rn_log_warn("the loss is not a finite number: the model of step %lld has diverged",
                (long long)model->manifest->step);
  }
  rn_split_close(&split);
  return status;
}

static rn_status evaluate_sets(rn_err *err, rn_world *world, const options *o,
                               const Retnet__Parallel *parallel, const rn_checkpoint_model *model,
                               rn_token_file *tokens) {
  rn_evaluation_options how = {.form = (rn_form)o->form,
                               .sequence_length = sequence_length(o, model),
                               .parallel = parallel,
                               .stride = (int)o->stride,
                               .by_document = o->by_document,
                               .tokens = tokens};
  const int sets = o->data.count;
  rn_set_result *result;
  RN_TRY(err, rn_agree(err, world, rn_alloc(err, "sets", (size_t)sets, sizeof *result, &result)));
  rn_status status = RN_OK;
  for (; status == RN_OK && how.set < sets; how.set++) {
    status = evaluate_set(err, world, o, model, how, &result[how.set]);
  }
  if (status == RN_OK && rn_world_rank(world) == 0) {
    const rn_print_header header = {forms[o->form], model->manifest->step};
    (o->json ? rn_print_sets_json : rn_print_sets)(result, sets, header);
  }
  for (int i = 0; i < sets; i++) free(result[i].document);
  free(result);
  return status;
}

/* ---- requests ---- */

/* Reads the requests with the tokenizer that is stored in the checkpoint. */
static rn_status load_requests(rn_err *err, const options *o, const rn_checkpoint_model *model,
                               rn_requests *out) {
  rn_tokenizer *tokenizer = NULL;
  RN_TRY(err, rn_checkpoint_tokenizer(err, o->checkpoint, model, &tokenizer));
  const rn_status status = rn_requests_load(
      err, o->requests, tokenizer,
      rn_checkpoint_begin_token(model->manifest->vocabulary, tokenizer->document), out);
  rn_tokenizer_destroy(&tokenizer);
  return status;
}

static rn_status answer_requests(rn_err *err, rn_world *world, const options *o,
                                 const Retnet__Parallel *parallel, const rn_checkpoint_model *model,
                                 rn_token_file *tokens) {
  rn_requests requests = {.count = 0};
  const rn_requests_options how = {.form = (rn_form)o->form,
                                   .capacity = sequence_length(o, model),
                                   .parallel = parallel,
                                   .tokens = tokens};
  rn_status status = rn_agree(err, world, load_requests(err, o, model, &requests));
  if (status == RN_OK) {
    status = rn_world_check_same(err, world, "the requests", requests.tokens.id,
                                 requests.tokens.count * sizeof *requests.tokens.id);
  }
  if (status == RN_OK) status = rn_requests_score(err, world, model, &how, &requests);
  if (status == RN_OK && rn_world_rank(world) == 0) rn_print_requests(&requests, o->json);
  rn_requests_free(&requests);
  return status;
}

/* ---- the program ---- */

/* Logs that attention layers do not depend on --form; warns if the model has no other layers. */
static void report_form(const rn_spec *spec, const char *form) {
  const int attending = rn_spec_attention_layers(spec, 0, spec->layers);
  if (attending == spec->layers) {
    rn_log_warn(
        "--form %s has no effect: it applies only to retention layers, and this model has only "
        "attention layers",
        form);
  } else if (attending > 0) {
    rn_log_info("--form %s applies only to the %d retention layers, not to the %d attention layers",
                form, spec->layers - attending, attending);
  }
}

static rn_status evaluate(rn_err *err, rn_world *world, const options *o,
                          const Retnet__Parallel *parallel) {
  rn_checkpoint_model model = {0};
  rn_token_file tokens = {.file = NULL};
  const bool writes = rn_world_rank(world) == 0;
  rn_status status = open_newest(err, world, o, &model);
  if (status == RN_OK && o->form != RN_FORM_CHUNKWISE) report_form(&model.spec, o->form_name);
  if (status == RN_OK) status = rn_gemm_agree(err, world);
  if (status == RN_OK) {
    status = rn_token_file_create(err, writes ? o->token_file : NULL, &tokens);
    status = rn_agree(err, world, status);
  }
  if (status == RN_OK) {
    status = (o->requests != NULL ? answer_requests : evaluate_sets)(err, world, o, parallel,
                                                                     &model, &tokens);
  }
  if (status == RN_OK) status = rn_agree(err, world, rn_token_file_close(err, &tokens));
  rn_token_file_discard(&tokens);
  rn_checkpoint_model_close(&model);
  return status;
}

static rn_status run(rn_err *err, rn_world *world, const options *o) {
  Retnet__Config *config = NULL;
  rn_watchdog *watchdog = NULL;
  rn_status status = rn_host_check_program(err, world);
  if (status == RN_OK) status = rn_agree(err, world, read_keys(err, o, &config));
  if (status == RN_OK) status = rn_host_check(err, world, false);
  if (status == RN_OK) status = start_threads(err, world, config->parallel->threads);
  if (status == RN_OK) {
    status = rn_watchdog_start(err, world, config->run->watchdog_s, &watchdog);
  }
  if (status == RN_OK) status = evaluate(err, world, o, config->parallel);
  if (status != RN_ERR_MPI) rn_watchdog_stop(&watchdog);
  rn_options_free(&config);
  return status;
}

static void free_words(options *o) {
  rn_words_free(&o->data);
  rn_words_free(&o->overrides);
  rn_words_free(&o->found.words);
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options o = {.form_name = forms[0]};
  rn_world *world = NULL;
  rn_program_start();
  rn_status status = parse(&err, argc, argv, &o);
  if (status != RN_OK || rn_args_asks(&o.found)) {
    free_words(&o);
    return rn_program_finish("retnet-eval", status, &err);
  }
  rn_err blas = {0};
  const rn_status loaded = rn_blas_load(&blas);
  status = rn_launch(&err, &argc, &argv, NULL, &o.overrides, &world);
  if (status == RN_OK) {
    rn_log_setup(rn_world_rank(world) != 0, o.json || o.requests != NULL);
    status = rn_blas_agree(&err, world, loaded, &blas);
  }
  if (status == RN_OK) {
    rn_blas_report();
    status = run(&err, world, &o);
  }
  free_words(&o);
  return rn_world_finish(&world, status, &err);
}
