/* retnet-generate: continues a prompt. */
#include <jansson.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file.h"
#include "data/tokenizer.h"
#include "model/threads.h"
#include "proto/args.h"
#include "proto/log.h"
#include "proto/version.h"
#include "trainer/blas_care.h"
#include "trainer/generate.h"

typedef struct options {
  const char *checkpoint, *prompt, *prompt_file;
  int64_t tokens, top_k, seed;
  double temperature, top_p;
  bool json, ignore_end;
  rn_args_found found;
} options;

/* The continuation as it grows. */
typedef struct output {
  const options *o;
  unsigned char *text;
  size_t count;
  int64_t drawn;
  bool ended;
} output;

static rn_status parse(rn_err *err, int argc, char **argv, options *o) {
  const double most = 9e15;
  const rn_arg table[] = {
      {0, "checkpoint", "DIR", "step folder or run directory", RN_ARG_TEXT, &o->checkpoint, 0, 0},
      {0, "prompt", "TEXT", "what to continue", RN_ARG_TEXT, &o->prompt, 0, 0},
      {0, "prompt-file", "FILE", "the prompt's bytes", RN_ARG_TEXT, &o->prompt_file, 0, 0},
      {0, "tokens", "N", "how many at most (128)", RN_ARG_INTEGER, &o->tokens, 0, most},
      {0, "temperature", "X", "0: the likeliest (1)", RN_ARG_NUMBER, &o->temperature, 0, 1e6},
      {0, "top-k", "K", "of the K likeliest; 0: all", RN_ARG_INTEGER, &o->top_k, 0, most},
      {0, "top-p", "P", "of the likeliest that make P", RN_ARG_NUMBER, &o->top_p, 0, 1},
      {0, "seed", "S", "of the draws (1)", RN_ARG_INTEGER, &o->seed, 0, most},
      {0, "ignore-end", NULL, "go on past a document's end", RN_ARG_SWITCH, &o->ignore_end, 0, 0},
      {0, "json", NULL, "one JSON object on stdout", RN_ARG_SWITCH, &o->json, 0, 0}};
  const rn_args args = {"retnet-generate",
                        "--checkpoint DIR [--prompt TEXT]",
                        "Text from a trained model.",
                        table,
                        (int)(sizeof table / sizeof table[0]),
                        0,
                        0};
  RN_TRY(err, rn_args_parse(err, &args, argc, argv, &o->found));
  if (o->found.help) rn_args_print_help(&args, stdout);
  if (o->found.version) rn_version_print(stdout, "retnet-generate", NULL, 0);
  if (o->found.help || o->found.version || o->checkpoint != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "--checkpoint is wanted; see --help");
}

static bool take_token(void *self, int32_t token) {
  output *out = self;
  out->drawn++;
  if (token == RN_BYTES_DOCUMENT) {
    out->ended = true;
    return out->o->ignore_end;
  }
  out->text[out->count++] = (unsigned char)token;
  if (!out->o->json) {
    putchar(token);
    fflush(stdout);
  }
  if (out->o->json) return true;
  out->count = 0;
  return true;
}

static void print_json(const char *prompt, size_t prompt_bytes, const output *out) {
  json_t *object = json_object();
  json_t *p = json_stringn(prompt, prompt_bytes);
  json_t *t = json_stringn((const char *)out->text, out->count);
  json_object_set_new(object, "prompt", p != NULL ? p : json_string(""));
  json_object_set_new(object, "text", t != NULL ? t : json_null());
  json_object_set_new(object, "tokens", json_integer(out->drawn));
  json_object_set_new(object, "stop", json_string(out->ended ? "document" : "length"));
  json_dumpf(object, stdout, JSON_COMPACT);
  printf("\n");
  json_decref(object);
}

static rn_status generate(rn_err *err, const options *o, const rn_loaded *model, const char *prompt,
                          size_t prompt_bytes) {
  int32_t *ids = calloc(prompt_bytes + 1, sizeof *ids);
  output out = {.o = o, .text = malloc(o->json ? (size_t)o->tokens + 1 : 1)};
  if (ids == NULL || out.text == NULL) {
    free(ids);
    free(out.text);
    return rn_fail(err, RN_ERR_MEMORY, "no memory for the text");
  }
  ids[0] = RN_BYTES_DOCUMENT;
  for (size_t i = 0; i < prompt_bytes; i++) ids[i + 1] = (unsigned char)prompt[i];
  if (!o->json) fwrite(prompt, 1, prompt_bytes, stdout);
  const rn_sampling sampling = {o->temperature, o->top_k, o->top_p, (uint64_t)o->seed};
  rn_status status = rn_generate(err, model, ids, (int64_t)prompt_bytes + 1, o->tokens, sampling,
                                 take_token, &out);
  if (status == RN_OK && o->json) print_json(prompt, prompt_bytes, &out);
  free(ids);
  free(out.text);
  return status;
}

static rn_status run(rn_err *err, const options *o) {
  rn_loaded model = {0};
  void *file = NULL;
  const char *prompt = o->prompt != NULL ? o->prompt : "";
  size_t bytes = strlen(prompt);
  rn_threads_start(omp_get_max_threads());
  if (o->prompt_file != NULL) {
    RN_TRY(err, rn_file_load(err, o->prompt_file, (size_t)1 << 32, &file, &bytes));
    prompt = file;
  }
  rn_status status = rn_loaded_open(err, o->checkpoint, &model);
  if (status == RN_OK && model.spec.vocab < RN_BYTES_VOCABULARY) {
    status = rn_fail(err, RN_ERR_USAGE, "%s: not a model of bytes", o->checkpoint);
  }
  if (status == RN_OK) status = generate(err, o, &model, prompt, bytes);
  rn_loaded_close(&model);
  free(file);
  return status;
}

int main(int argc, char **argv) {
  rn_err err = {0};
  options o = {.tokens = 128, .temperature = 1, .top_p = 1, .seed = 1};
  rn_status status = parse(&err, argc, argv, &o);
  if (status == RN_OK && (o.found.help || o.found.version)) return 0;
  rn_log_setup(false, o.json);
  rn_blas_care(argv);
  if (status == RN_OK) status = run(&err, &o);
  rn_words_free(&o.found.words);
  if (status != RN_OK) rn_log_error("retnet-generate", &err);
  return rn_status_exit_code(status);
}
