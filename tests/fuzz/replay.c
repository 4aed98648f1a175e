/*
 * Checks that a reader accepts the seed corpus and withstands mutations of it.
 *
 * usage: replay CORPUS ROUNDS [WORDS]
 *
 * RETNET_FUZZ_ROUNDS=N sets the number of mutations of each seed. The name of a seed begins with
 * "refused" if the reader must refuse it, and with "any" if the reader may accept or refuse it
 * (inputs that libFuzzer has found, files that need an optional library).
 *
 * WORDS is a dictionary of libFuzzer: each line is a comment (#), or a word in double quotes, in
 * which a backslash stands before a quotation mark or a backslash.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/target.h"
#include "tests/support/check.h"

enum { MAX_BYTES = 1 << 17, MAX_WORDS = 64 };

static rn_err *err = &(rn_err){0};
static char word_memory[MAX_WORDS][128];
static const char *words[MAX_WORDS];
static mutate_dictionary dictionary = {words, 0};

/* Copies a quoted word without the quotes and without the backslashes that escape characters. */
static void add_word(const char *line) {
  char *to = word_memory[dictionary.count];
  for (const char *at = line + 1; *at != '\0' && *at != '"'; at++) {
    if (*at == '\\') at++;
    *to++ = *at;
  }
  words[dictionary.count] = word_memory[dictionary.count];
  dictionary.count++;
}

static void read_words(const char *path) {
  char line[sizeof word_memory[0]];
  FILE *file = fopen(path, "r");
  if (!CHECK(file != NULL)) return;
  while (dictionary.count < MAX_WORDS && fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '"') add_word(line);
  }
  fclose(file);
  CHECK(dictionary.count > 0);
}

static void run_seed(const char *folder, const char *name, int64_t rounds) {
  static unsigned char work[MAX_BYTES];
  const rn_path path = rn_path_join(folder, name);
  void *content = NULL;
  size_t bytes = 0;
  if (!CHECK_OK(err, rn_file_load(err, path.text, MAX_BYTES / 2, &content, &bytes))) return;
  const bool accepted = target_run(content, bytes), wanted = strncmp(name, "refused", 7) != 0;
  const bool known = strncmp(name, "any", 3) != 0;
  if (known && !CHECK(accepted == wanted)) fprintf(stderr, "seed %s\n", name);
  for (int64_t round = 0; round < rounds; round++) {
    memcpy(work, content, bytes);
    (void)target_run(work, mutate_with(work, bytes, MAX_BYTES, (uint64_t)round, dictionary));
  }
  free(content);
}

int main(int argc, char **argv) {
  DIR *folder = argc == 3 || argc == 4 ? opendir(argv[1]) : NULL;
  int seeds = 0;
  if (folder == NULL) {
    fprintf(stderr, "usage: replay CORPUS ROUNDS [WORDS]\n");
    return 2;
  }
  if (argc == 4) read_words(argv[3]);
  for (const struct dirent *item; (item = readdir(folder)) != NULL;) {
    if (item->d_name[0] == '.') continue;
    run_seed(argv[1], item->d_name, mutate_rounds(strtoll(argv[2], NULL, 10)));
    seeds++;
  }
  closedir(folder);
  CHECK(seeds > 0);
  return check_result();
}
