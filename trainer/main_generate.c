/* retnet-generate continues prompts. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "model/base/blas.h"
#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/cli/args.h"
#include "proto/cli/launched.h"
#include "proto/cli/program.h"
#include "trainer/generate/interactive.h"
#include "trainer/generate/stop_signals.h"
#include "trainer/generate/text_generator.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/core_check.h"
#include "trainer/machine/program_version.h"
#include "trainer/machine/thread_limit.h"

typedef struct options {
  const char *checkpoint, *precision, *special_tokens, *load_state, *save_state;
  int bf16; /* index of `precision` in precisions[]; 1: bf16 */
  rn_words prompts, prompt_files, line_files, stops, seeds;
  int64_t tokens;
  rn_sampling sampling;
  rn_repetition repetition;
  bool json, ignore_end, interactive;
  rn_args_found found;
} options;

static const char *const precisions[] = {"fp32", "bf16"};
static const double max_integer = 9e15;

static const char about[] =
    "Generates text with a trained model. Several prompts are continued in one batch, and each "
    "text is the same as with its prompt alone. Texts are printed in the order of --prompt, "
    "--prompt-file and --prompt-lines, each character as soon as it is final; with --json, after "
    "all are complete.\n"
    "The next token is drawn as Hugging Face's generate() does: --repetition-penalty changes the "
    "logits, then --temperature divides them; --top-k, --top-p and --min-p follow in this order, "
    "each applied to the tokens that the previous filter kept.\n"
    "--save-state stores the state after a text, so that a long text is read only once. With equal "
    "options, the completion after --load-state is bitwise the same as after reading the text "
    "again; --prompt adds to the text.";

/* The command line, with the defaults of the options. */
static options given = {.precision = "fp32",
                        .tokens = 128,
                        .sampling = {.temperature = 1, .top_p = 1},
                        .repetition = {.penalty = 1}};

static const rn_arg table[] = {
    {0, "checkpoint", "DIR", "checkpoint (step folder), or run directory (newest valid checkpoint)",
     RN_ARG_PATH, &given.checkpoint, 0, 0},
    {0, "prompt", "TEXT", "text to continue; may be repeated", RN_ARG_LIST, &given.prompts, 0, 0},
    {0, "prompt-file", "FILE",
     "file with the bytes of one prompt, at most 256 MiB; may be repeated", RN_ARG_LIST,
     &given.prompt_files, 0, 0},
    {0, "prompt-lines", "FILE", "file with one prompt per line; may be repeated", RN_ARG_LIST,
     &given.line_files, 0, 0},
    {0, "special-tokens", "LIST",
     "special tokens that are recognised in prompts: names separated by commas, or all (default: "
     "none)",
     RN_ARG_TEXT, &given.special_tokens, 0, 0},
    {0, "tokens", "N", "maximum number of tokens to generate (default 128)", RN_ARG_INTEGER,
     &given.tokens, 0, max_integer},
    {0, "stop", "TEXT",
     "end a text before the first TEXT, even if TEXT spans several tokens; may be repeated",
     RN_ARG_LIST, &given.stops, 0, 0},
    {0, "ignore-end", NULL, "do not stop when the model ends the document", RN_ARG_SWITCH,
     &given.ignore_end, 0, 0},
    {0, "temperature", "X", "sampling temperature; 0: always the most likely token (default 1)",
     RN_ARG_NUMBER, &given.sampling.temperature, 0, 1e6},
    {0, "top-k", "K", "sample from the K most likely tokens (default 0: all)", RN_ARG_INTEGER,
     &given.sampling.top_k, 0, max_integer},
    {0, "top-p", "P",
     "sample from the smallest set of tokens whose probability reaches P (default 1)",
     RN_ARG_NUMBER, &given.sampling.top_p, 0, 1},
    {0, "min-p", "P",
     "sample from the tokens whose probability is at least P times the largest (default 0)",
     RN_ARG_NUMBER, &given.sampling.min_p, 0, 1},
    {0, "repetition-penalty", "X",
     "for tokens that are already in the text, divide positive logits by X and multiply negative "
     "ones by X; values above 1 make repetition less likely (default 1)",
     RN_ARG_NUMBER, &given.repetition.penalty, 1e-3, 1e3},
    {0, "repetition-window", "N",
     "apply the penalty to the last N tokens of the text, prompt included (default 0: all)",
     RN_ARG_INTEGER, &given.repetition.window, 0, max_integer},
    {0, "seed", "S",
     "random seed (default 1); if repeated, the i-th seed is used for the i-th text", RN_ARG_LIST,
     &given.seeds, 0, 0},
    {0, "interactive", NULL,
     "append each line of standard input to the text, and print the continuation; Ctrl-C ends a "
     "continuation; at the prompt, Ctrl-C or Ctrl-D ends the program",
     RN_ARG_SWITCH, &given.interactive, 0, 0},
    {0, "load-state", "FILE",
     "continue the text whose state is in FILE; each prompt is appended to this text independently "
     "of the others; the text itself is not printed",
     RN_ARG_PATH, &given.load_state, 0, 0},
    {0, "save-state", "FILE",
     "write the state after the last token to FILE, also if SIGINT, SIGTERM or SIGHUP ends the "
     "text early; with --tokens 0, the state after the prompt",
     RN_ARG_PATH, &given.save_state, 0, 0},
    {0, "precision", "fp32|bf16",
     "number format of the weights (default fp32); bf16 reads half the bytes", RN_ARG_TEXT,
     &given.precision, 0, 0},
    {0, "json", NULL, "print one JSON object on stdout", RN_ARG_SWITCH, &given.json, 0, 0}};

static const rn_args args = {
    .program = "retnet-generate",
    .form =
        "--checkpoint DIR [--prompt TEXT]... [--prompt-file FILE]... [--prompt-lines FILE]... "
        "[--special-tokens LIST] [--tokens N] [--stop TEXT]... [--ignore-end] [--temperature X] "
        "[--top-k K] [--top-p P] [--min-p P] [--repetition-penalty X] [--repetition-window N] "
        "[--seed S]... [--interactive] [--load-state FILE] [--save-state FILE] "
        "[--precision fp32|bf16] [--json]",
    .about = about,
    .example =
        "retnet-generate --checkpoint RUN --prompt \"Once upon a time\" --tokens 200\n"
        "retnet-generate --checkpoint RUN --prompt \"Q: Why?\" --stop Q: --min-p 0.05\n"
        "retnet-generate --checkpoint RUN --prompt-file F --tokens 0 --save-state S",
    .options = table,
    .count = (int)(sizeof table / sizeof table[0])};

static rn_status check(rn_err *err, options *o) {
  RN_TRY(err, rn_args_choose(err, "--precision", o->precision, precisions, 2, &o->bf16));
  for (int i = 0; i < o->stops.count; i++) {
    if (o->stops.word[i][0] == '\0') return rn_fail(err, RN_ERR_USAGE, "--stop: the text is empty");
  }
  if (o->interactive && o->json) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--json, which prints one object, cannot be combined with --interactive");
  }
  if (o->checkpoint != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "--checkpoint is required; see --help");
}

/* Warns of options that change nothing in combination with the others. */
static void report_unused(const options *o) {
  const struct {
    const char *name;
    bool given;
  } filters[] = {{"--top-k", o->sampling.top_k > 0},
                 {"--top-p", o->sampling.top_p < 1},
                 {"--min-p", o->sampling.min_p > 0},
                 {"--seed", o->seeds.count > 0}};
  for (size_t i = 0; o->sampling.temperature == 0 && i < sizeof filters / sizeof *filters; i++) {
    if (!filters[i].given) continue;
    rn_log_warn("%s has no effect: --temperature 0 always takes the most likely token",
                filters[i].name);
  }
  if (o->repetition.window > 0 && o->repetition.penalty == 1) {
    rn_log_warn("--repetition-window %lld has no effect without --repetition-penalty",
                (long long)o->repetition.window);
  }
  const int prompts = o->prompts.count + o->prompt_files.count + o->line_files.count;
  if (o->special_tokens != NULL && prompts == 0 && !o->interactive) {
    rn_log_warn("--special-tokens %s has no effect without a prompt", o->special_tokens);
  }
}

static rn_status parse(rn_err *err, int argc, char **argv, options *o) {
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  if (rn_args_answer(&args, &o->found, rn_program_version)) return RN_OK;
  return check(err, o);
}

static rn_status read_prompts(rn_err *err, const options *o, rn_completions *completions) {
  for (int i = 0; i < o->prompts.count; i++) {
    const char *prompt = o->prompts.word[i];
    RN_TRY(err, rn_completions_add(err, completions, prompt, strlen(prompt)));
  }
  for (int i = 0; i < o->prompt_files.count; i++) {
    RN_TRY(err, rn_completions_add_file(err, completions, o->prompt_files.word[i]));
  }
  for (int i = 0; i < o->line_files.count; i++) {
    RN_TRY(err, rn_completions_add_lines(err, completions, o->line_files.word[i]));
  }
  if (completions->count > 0) return RN_OK;
  if (o->line_files.count > 0) {
    return rn_fail(err, RN_ERR_USAGE, "%s: no line contains a prompt", o->line_files.word[0]);
  }
  return rn_completions_add(err, completions, "", 0);
}

/* ---- generation ---- */

/* Sets the seed of each text. --seed is given once for all texts or once for each. */
static rn_status set_seeds(rn_err *err, const options *o, const rn_text_generator *generator,
                           int texts) {
  const int count = o->seeds.count;
  int64_t *seed;
  if (count > 1 && count != texts) {
    return rn_fail(err, RN_ERR_USAGE,
                   "--seed is given %d times for %d prompts; give one seed, or one for each prompt",
                   count, texts);
  }
  RN_TRY(err, rn_alloc(err, "seeds", (size_t)count + 1, sizeof *seed, &seed));
  seed[0] = 1;
  const rn_status status = rn_args_integers(err, "--seed", &o->seeds, max_integer, seed);
  for (int i = 0; i < texts; i++) {
    rn_generator_sequence(generator->generator, i)->seed = (uint64_t)seed[count > 1 ? i : 0];
  }
  free(seed);
  return status;
}

static rn_status generate(rn_err *err, const options *o, rn_text_generator *generator,
                          rn_completions *completions) {
  if ((o->save_state != NULL || o->interactive) && completions->count > 1) {
    return rn_fail(err, RN_ERR_USAGE, "%s works with a single text, but there are %d prompts",
                   o->interactive ? "--interactive" : "--save-state", completions->count);
  }
  if (o->save_state != NULL) RN_TRY(err, rn_file_check_target(err, o->save_state));
  if (o->load_state != NULL) RN_TRY(err, rn_text_generator_load(err, generator, o->load_state));
  RN_TRY(err, set_seeds(err, o, generator, completions->count));
  if (o->save_state != NULL || o->interactive) {
    rn_stop_signals_catch();
    generator->interrupted = rn_stop_signals_any;
  }
  for (int i = 0; i < completions->count; i++) {
    RN_TRY(err, rn_text_generator_give(err, generator, i, &completions->text[i].prompt));
  }
  if (o->interactive) {
    RN_TRY(err, rn_interactive_run(err, generator));
  } else {
    RN_TRY(err, rn_text_generator_run(err, generator, completions));
  }
  if (o->save_state != NULL) RN_TRY(err, rn_text_generator_save(err, generator, o->save_state));
  return o->json ? rn_completions_print_json(err, completions) : RN_OK;
}

static rn_text_options text_options(const options *o) {
  return (rn_text_options){.generation = {.bf16 = o->bf16 == 1,
                                          .max_tokens = o->tokens,
                                          .sampling = o->sampling,
                                          .repetition = o->repetition},
                           .stops = {o->stops.word, o->stops.count},
                           .special_tokens = o->special_tokens,
                           .ignore_end = o->ignore_end,
                           .stream = !o->json,
                           .keeps_states = o->load_state != NULL || o->save_state != NULL};
}

static rn_status start_compute_threads(rn_err *err) {
  rn_cores cores;
  RN_TRY(err, rn_blas_load(err));
  rn_cores_of_process(&cores);
  const int threads = rn_cores_threads(cores, 0);
  RN_TRY(err, rn_thread_limit_check(err, threads));
  rn_core_check(cores, 0);
  rn_binding_decide(cores, threads);
  rn_threads_start(threads);
  return RN_OK;
}

/* Starts the threads of the matrix products. They never receive the signals that stop a
 * generation. */
static rn_status start_threads(rn_err *err) {
  sigset_t before;
  rn_stop_signals_block(&before);
  const rn_status status = start_compute_threads(err);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return status;
}

/* Fails if there are several ranks, because each would generate the same text on the same cores. */
static rn_status check_launch(rn_err *err) {
  const rn_launched launched = rn_launched_detect();
  if (launched.ranks == 1) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "wrong launch: %s says %d ranks, but retnet-generate runs as one process with "
                 "threads (OMP_NUM_THREADS); start it without mpirun and srun",
                 launched.variable, launched.ranks);
}

static rn_status run(rn_err *err, const options *o) {
  rn_checkpoint_model model = {0};
  rn_completions completions = {0};
  rn_text_generator generator = {0};
  const rn_text_options how = text_options(o);
  report_unused(o);
  rn_status status = start_threads(err);
  if (status == RN_OK) status = read_prompts(err, o, &completions);
  if (status == RN_OK) status = rn_checkpoint_model_open(err, o->checkpoint, &model);
  if (status == RN_OK) {
    status =
        rn_text_generator_open(err, o->checkpoint, &model, &how, completions.count, &generator);
  }
  if (status == RN_OK) status = generate(err, o, &generator, &completions);
  rn_text_generator_close(&generator);
  rn_checkpoint_model_close(&model);
  rn_completions_destroy(&completions);
  return status;
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options *const o = &given;
  rn_program_start();
  rn_status status = parse(&err, argc, argv, o);
  const bool runs = status == RN_OK && !rn_args_asks(&o->found);
  rn_log_setup(false, o->json);
  if (runs) status = check_launch(&err);
  if (runs && status == RN_OK) status = run(&err, o);
  rn_words_free(&o->found.words);
  rn_words_free(&o->prompts);
  rn_words_free(&o->prompt_files);
  rn_words_free(&o->line_files);
  rn_words_free(&o->stops);
  rn_words_free(&o->seeds);
  return rn_program_finish("retnet-generate", status, &err);
}
