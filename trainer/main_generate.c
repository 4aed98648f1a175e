/* retnet-generate continues prompts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/tokenizer_file.h"
#include "model/base/blas.h"
#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/base/utf8.h"
#include "proto/cli/args.h"
#include "proto/cli/launched.h"
#include "proto/cli/program.h"
#include "trainer/checkpoint/checkpoint_tokenizer.h"
#include "trainer/generate/completions.h"
#include "trainer/generate/generate.h"
#include "trainer/machine/binding.h"
#include "trainer/machine/core_check.h"
#include "trainer/machine/program_version.h"
#include "trainer/machine/thread_limit.h"

typedef struct options {
  const char *checkpoint, *precision, *special_tokens;
  int bf16; /* index of `precision` in precisions[]; 1: bf16 */
  rn_words prompts, prompt_files, line_files;
  int64_t tokens, top_k, seed;
  double temperature, top_p;
  bool json, ignore_end;
  rn_args_found found;
} options;

static const char *const precisions[] = {"fp32", "bf16"};

static rn_status parse(rn_err *err, int argc, char **argv, options *o) {
  const double max = 9e15;
  const rn_arg table[] = {
      {0, "checkpoint", "DIR",
       "checkpoint (step folder), or run directory (newest valid checkpoint)", RN_ARG_PATH,
       &o->checkpoint, 0, 0},
      {0, "prompt", "TEXT", "text to continue; may be repeated", RN_ARG_LIST, &o->prompts, 0, 0},
      {0, "prompt-file", "FILE", "file with the bytes of one prompt; may be repeated", RN_ARG_LIST,
       &o->prompt_files, 0, 0},
      {0, "prompt-lines", "FILE", "file with one prompt per line; may be repeated", RN_ARG_LIST,
       &o->line_files, 0, 0},
      {0, "special-tokens", "LIST",
       "special tokens that are recognised in prompts: names separated by commas, or all (default: "
       "none)",
       RN_ARG_TEXT, &o->special_tokens, 0, 0},
      {0, "tokens", "N", "maximum number of tokens to generate (default 128)", RN_ARG_INTEGER,
       &o->tokens, 0, max},
      {0, "temperature", "X", "sampling temperature; 0: always the most likely token (default 1)",
       RN_ARG_NUMBER, &o->temperature, 0, 1e6},
      {0, "top-k", "K", "sample from the K most likely tokens (default 0: all)", RN_ARG_INTEGER,
       &o->top_k, 0, max},
      {0, "top-p", "P",
       "sample from the smallest set of tokens whose probability reaches P (default 1)",
       RN_ARG_NUMBER, &o->top_p, 0, 1},
      {0, "seed", "S", "random seed (default 1)", RN_ARG_INTEGER, &o->seed, 0, max},
      {0, "precision", "fp32|bf16",
       "number format of the weights (default fp32); bf16 reads half the bytes", RN_ARG_TEXT,
       &o->precision, 0, 0},
      {0, "ignore-end", NULL, "continue past the end of a document", RN_ARG_SWITCH, &o->ignore_end,
       0, 0},
      {0, "json", NULL, "print one JSON object on stdout", RN_ARG_SWITCH, &o->json, 0, 0}};
  const rn_args args = {
      .program = "retnet-generate",
      .form =
          "--checkpoint DIR [--prompt TEXT]... [--prompt-file FILE]... [--prompt-lines FILE]... "
          "[--special-tokens LIST] [--tokens N] [--temperature X] [--top-k K] [--top-p P] [--seed "
          "S] "
          "[--precision fp32|bf16] [--ignore-end] [--json]",
      .about =
          "Generates text with a trained model. Several prompts are continued in one batch, "
          "and each text is the same as with its prompt alone. The texts are printed in the "
          "order of --prompt, --prompt-file and --prompt-lines, after all are complete.",
      .example = "retnet-generate --checkpoint RUN --prompt \"Once upon a time\" --tokens 200",
      .options = table,
      .count = (int)(sizeof table / sizeof table[0])};
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  if (rn_args_answer(&args, &o->found, rn_program_version)) return RN_OK;
  RN_TRY(err, rn_args_choose(err, "--precision", o->precision, precisions, 2, &o->bf16));
  if (o->checkpoint != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "--checkpoint is required; see --help");
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

/* Receives the generated tokens. Without --json, a single text is printed while it is generated:
 * each character as soon as its last token arrives. */
typedef struct output {
  const options *o;
  rn_tokenizer *tokenizer;
  rn_completions completions;
  bool at_once, full;
} output;

/* Prints the text up to its last complete character or, if `all`, the whole text. */
static bool print_text(rn_bytes *text, bool all) {
  const size_t open = all ? 0 : rn_utf8_open_end(text->byte, text->count);
  const size_t count = text->count - open;
  if (count == 0) return true;
  fwrite(text->byte, 1, count, stdout);
  memmove(text->byte, text->byte + count, open);
  text->count = open;
  return fflush(stdout) == 0;
}

static bool take_token(void *self, int prompt, int32_t token) {
  output *out = self;
  rn_completion *t = &out->completions.text[prompt];
  const void *bytes = NULL;
  size_t count = 0;
  t->tokens++;
  if (token == out->tokenizer->document) {
    t->ended = true;
    return out->o->ignore_end;
  }
  if (rn_tokenizer_token(NULL, out->tokenizer, token, &bytes, &count) != RN_OK) return false;
  out->full = !rn_bytes_add(&t->text, bytes, count) || out->full;
  if (out->at_once && !print_text(&t->text, false)) return false;
  return !out->full;
}

/* Builds the tokens of every prompt: a document token, then the tokens of the prompt. */
static rn_status tokens_of(rn_err *err, const output *out, rn_tokens *tokens, rn_prompt *prompt) {
  const rn_completions *completions = &out->completions;
  rn_encoder *encoder = NULL;
  RN_TRY(err, rn_encoder_create(err, out->tokenizer, &encoder));
  rn_status status = RN_OK;
  if (out->o->special_tokens != NULL) {
    status = rn_encoder_allow(err, encoder, out->o->special_tokens);
  }
  for (int i = 0; status == RN_OK && i < completions->count; i++) {
    const rn_bytes *text = &completions->text[i].prompt;
    const size_t before = tokens->count;
    status = rn_tokens_add(err, tokens, out->tokenizer->document, 0);
    if (status == RN_OK) {
      status = rn_encoder_encode(err, encoder, (const char *)text->byte, text->count, tokens);
    }
    prompt[i].count = (int64_t)(tokens->count - before);
  }
  rn_encoder_destroy(&encoder);
  const int32_t *at = tokens->id; /* the array is complete, so it no longer moves */
  for (int i = 0; i < completions->count; at += prompt[i++].count) prompt[i].token = at;
  return status;
}

/* Lists the ids below the vocabulary size that belong to no token. */
static rn_status list_gaps(rn_err *err, const rn_tokenizer *tokenizer, int32_t **gap, int *count) {
  *count = 0;
  RN_TRY(err, rn_alloc(err, "gaps", (size_t)tokenizer->vocabulary, sizeof **gap, gap));
  for (int32_t id = 0; id < tokenizer->vocabulary; id++) {
    if (!rn_tokenizer_has(tokenizer, id)) (*gap)[(*count)++] = id;
  }
  return RN_OK;
}

static rn_status generate_prompts(rn_err *err, rn_checkpoint_model *model, output *out,
                                  const rn_prompt *prompt) {
  const options *o = out->o;
  int32_t *gap = NULL;
  int gaps = 0;
  RN_TRY(err, list_gaps(err, out->tokenizer, &gap, &gaps));
  const rn_generation_options how = {
      .bf16 = o->bf16 == 1,
      .max_tokens = o->tokens,
      .vocabulary = out->tokenizer->vocabulary,
      .never = gap,
      .never_count = gaps,
      .sampling = {o->temperature, o->top_k, o->top_p, (uint64_t)o->seed}};
  const rn_status status = rn_generate(err, model, &how, prompt, out->completions.count,
                                       (rn_token_visitor){take_token, out});
  free(gap);
  return status;
}

static rn_status generate(rn_err *err, rn_checkpoint_model *model, output *out) {
  rn_completion *first = &out->completions.text[0];
  rn_tokens tokens = {0};
  rn_prompt *prompt = NULL;
  out->at_once = !out->o->json && out->completions.count == 1;
  if (out->at_once) fwrite(first->prompt.byte, 1, first->prompt.count, stdout);
  rn_status status =
      rn_alloc(err, "prompts", (size_t)out->completions.count, sizeof *prompt, &prompt);
  if (status == RN_OK) status = tokens_of(err, out, &tokens, prompt);
  if (status == RN_OK) status = generate_prompts(err, model, out, prompt);
  if (out->at_once) (void)print_text(&first->text, true);
  if (status == RN_OK && out->full)
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while generating text");
  rn_tokens_free(&tokens);
  free(prompt);
  return status;
}

/* Creates the tokenizer that is stored in the checkpoint. */
static rn_status open_tokenizer(rn_err *err, const rn_checkpoint_model *model, output *out) {
  Retnet__Tokenizer *file = NULL;
  const char *path = out->o->checkpoint;
  RN_TRY(err, rn_checkpoint_tokenizer_file(err, path, model->manifest->vocabulary, &file));
  const rn_status status = rn_tokenizer_create(err, file, &out->tokenizer);
  rn_tokenizer_file_free(file);
  if (status != RN_OK || model->spec.vocab >= out->tokenizer->vocabulary) return status;
  return rn_fail(err, RN_ERR_USAGE,
                 "%s: the model has a vocabulary of %d, less than the %d of its tokenizer %s", path,
                 model->spec.vocab, out->tokenizer->vocabulary, out->tokenizer->name);
}

static rn_status start_threads(rn_err *err) {
  rn_cores cores;
  rn_cores_of_process(&cores);
  const int threads = rn_cores_threads(cores, 0);
  RN_TRY(err, rn_thread_limit_check(err, threads));
  rn_core_check(cores, 0);
  rn_binding_decide(cores, threads);
  rn_threads_start(threads);
  return RN_OK;
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
  output out = {.o = o};
  rn_status status = start_threads(err);
  if (status == RN_OK) status = read_prompts(err, o, &out.completions);
  if (status == RN_OK) status = rn_checkpoint_model_open(err, o->checkpoint, &model);
  if (status == RN_OK) status = open_tokenizer(err, &model, &out);
  if (status == RN_OK) status = generate(err, &model, &out);
  if (status == RN_OK && o->json) rn_completions_print_json(&out.completions);
  if (status == RN_OK && !o->json && !out.at_once) rn_completions_print(&out.completions);
  rn_checkpoint_model_close(&model);
  rn_completions_destroy(&out.completions);
  rn_tokenizer_destroy(&out.tokenizer);
  return status;
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options o = {.precision = "fp32", .tokens = 128, .temperature = 1, .top_p = 1, .seed = 1};
  rn_program_start();
  rn_status status = parse(&err, argc, argv, &o);
  if (status == RN_OK && (rn_args_asks(&o.found))) {
    return rn_program_finish("retnet-generate", status, &err);
  }
  rn_log_setup(false, o.json);
  if (status == RN_OK) status = check_launch(&err);
  if (status == RN_OK) status = rn_blas_load(&err);
  if (status == RN_OK) status = run(&err, &o);
  rn_words_free(&o.found.words);
  rn_words_free(&o.prompts);
  rn_words_free(&o.prompt_files);
  rn_words_free(&o.line_files);
  return rn_program_finish("retnet-generate", status, &err);
}
