/* retnet-data: builds, describes, checks, recovers and prints data folders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/build.h"
#include "data/split.h"

static const char usage[] =
    "usage: retnet-data build --out DIR [--tokenizer bytes] [--include GLOB] [--val-fraction F] "
    "INPUT...\n"
    "       retnet-data stat DIR\n"
    "       retnet-data verify DIR\n"
    "       retnet-data recover SHARD\n"
    "       retnet-data cat DIR [--text] [--range A:B]\n\n"
    "INPUT: text files, folders, .jsonl, each also .zst; - is standard input.\n";

static rn_status bad_usage(rn_err *err, const char *what) {
  return rn_fail(err, RN_ERR_USAGE, "%s\n%s", what, usage);
}

static rn_status build(rn_err *err, int argc, char **argv) {
  rn_build_options o = {.val_fraction = 0.01};
  const char **input = calloc((size_t)argc + 1, sizeof *input);
  rn_build_report report;
  rn_status status = RN_OK;
  if (input == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory");
  for (int i = 0; status == RN_OK && i < argc; i++) {
    const bool option = strncmp(argv[i], "--", 2) == 0;
    if (!option) {
      input[o.inputs++] = argv[i];
    } else if (i + 1 == argc) {
      status = bad_usage(err, "an option lacks its value, or is unknown");
    } else if (strcmp(argv[i], "--out") == 0) {
      o.out = argv[++i];
    } else if (strcmp(argv[i], "--include") == 0) {
      o.include = argv[++i];
    } else if (strcmp(argv[i], "--val-fraction") == 0) {
      char *end;
      o.val_fraction = strtod(argv[++i], &end);
      if (*end != '\0' || end == argv[i]) status = bad_usage(err, "--val-fraction: no number");
    } else if (strcmp(argv[i], "--tokenizer") == 0) {
      if (strcmp(argv[++i], "bytes") != 0) {
        status = bad_usage(err, "--tokenizer: this version has bytes only");
      }
    } else {
      status = bad_usage(err, "unknown option");
    }
  }
  o.input = input;
  if (status == RN_OK && (o.out == NULL || o.inputs == 0)) {
    status = bad_usage(err, "build wants --out DIR and INPUT");
  }
  if (status == RN_OK) status = rn_build(err, &o, &report);
  free(input);
  if (status != RN_OK) return status;
  printf("%s: %lld documents, %lld bytes; train %lld tokens, val %lld tokens", o.out,
         (long long)report.documents, (long long)report.bytes, (long long)report.train_tokens,
         (long long)report.val_tokens);
  if (report.skipped_empty > 0) {
    printf("; %lld empty files skipped", (long long)report.skipped_empty);
  }
  printf("\n");
  return RN_OK;
}

static void print_split(const char *name, const rn_split *split) {
  int64_t documents = 0, text = 0, stored = 0;
  for (int i = 0; i < split->shards; i++) {
    documents += (int64_t)split->shard[i].footer->documents;
    text += (int64_t)split->shard[i].footer->text_bytes;
    stored += split->shard[i].file.size_bytes;
  }
  printf("%-6s %d shards, %lld tokens, %lld documents, %lld bytes of text, %lld bytes stored\n",
         name, split->shards, (long long)split->tokens, (long long)documents, (long long)text,
         (long long)stored);
}

/* Calls `each` with the splits that the folder has: train and val, or itself. */
static rn_status each_split(rn_err *err, const char *dir,
                            rn_status (*each)(rn_err *err, const char *name, rn_split *split)) {
  static const char *const names[] = {"train", "val"};
  for (int i = 0; i < 2; i++) {
    if (i == 1 && !rn_file_exists(rn_path_join(dir, names[i]).text)) continue;
    rn_split split;
    RN_TRY(err, rn_split_open(err, dir, names[i], &split));
    rn_status status = each(err, names[i], &split);
    rn_split_close(&split);
    RN_TRY(err, status);
  }
  return RN_OK;
}

static rn_status stat_split(rn_err *err, const char *name, rn_split *split) {
  (void)err;
  print_split(name, split);
  return RN_OK;
}

static rn_status verify_split(rn_err *err, const char *name, rn_split *split) {
  for (int i = 0; i < split->shards; i++) {
    RN_TRY(err, rn_shard_verify(err, split->shard[i].file.path));
  }
  printf("%s: %d shards whole\n", name, split->shards);
  return RN_OK;
}

static rn_status recover(rn_err *err, const char *path) {
  int64_t tokens = 0;
  RN_TRY(err, rn_shard_recover(err, path, &tokens));
  printf("%s.recovered: %lld tokens\n", path, (long long)tokens);
  return RN_OK;
}

static rn_status print_tokens(rn_err *err, rn_split *split, int64_t from, int64_t to, bool text) {
  enum { PIECE = 4096 };
  int32_t ids[PIECE];
  const int32_t document = (int32_t)rn_split_header(split)->document_token;
  for (int64_t at = from; at < to; at += PIECE) {
    const int64_t piece = to - at < PIECE ? to - at : PIECE;
    RN_TRY(err, rn_split_read(err, split, at, piece, ids));
    for (int64_t i = 0; i < piece; i++) {
      if (!text) printf("%d\n", ids[i]);
      if (text && ids[i] != document) putchar(ids[i]);
    }
  }
  return RN_OK;
}

static rn_status cat(rn_err *err, int argc, char **argv) {
  const char *dir = NULL;
  long long from = 0, to = -1;
  bool text = false;
  for (int i = 0; i < argc; i++) {
    if (strcmp(argv[i], "--text") == 0) {
      text = true;
    } else if (strcmp(argv[i], "--range") == 0 && i + 1 < argc) {
      if (sscanf(argv[++i], "%lld:%lld", &from, &to) != 2 || from < 0 || to < from) {
        return bad_usage(err, "--range: A:B is wanted");
      }
    } else if (dir == NULL && argv[i][0] != '-') {
      dir = argv[i];
    } else {
      return bad_usage(err, "unknown option");
    }
  }
  if (dir == NULL) return bad_usage(err, "cat wants DIR");
  rn_split split;
  RN_TRY(err, rn_split_open(err, dir, "train", &split));
  rn_status status = print_tokens(err, &split, from, to >= 0 ? to : split.tokens, text);
  rn_split_close(&split);
  return status;
}

static rn_status run(rn_err *err, int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  if (strcmp(verb, "build") == 0) return build(err, argc - 2, argv + 2);
  if (strcmp(verb, "cat") == 0) return cat(err, argc - 2, argv + 2);
  if (argc != 3) return bad_usage(err, "a verb and what it works on are wanted");
  if (strcmp(verb, "stat") == 0) return each_split(err, argv[2], stat_split);
  if (strcmp(verb, "verify") == 0) return each_split(err, argv[2], verify_split);
  if (strcmp(verb, "recover") == 0) return recover(err, argv[2]);
  return bad_usage(err, "unknown verb");
}

int main(int argc, char **argv) {
  rn_err err = {0};
  if (argc > 1 && strcmp(argv[1], "--help") == 0) {
    fputs(usage, stdout);
    return 0;
  }
  const rn_status status = run(&err, argc, argv);
  if (status != RN_OK) fprintf(stderr, "error: %s\n", err.text);
  return rn_status_exit_code(status);
}
