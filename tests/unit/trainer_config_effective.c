/* Checks that defaults, preset, given keys and data determine one value per key, and that its
 * origin is recorded. The written configuration must yield the same values again. */
#include "trainer/config/effective.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "trainer/train/run_config.h"

static rn_err err;

static rn_options_locations locations;

static bool resolve(const char *const *keys, int count, int vocab, rn_effective *out) {
  Retnet__Config *config = NULL;
  static const char yaml[] = "run: {dir: RUN}\nmodel:\n  norm_eps: 1e-5\n";
  bool done =
      CHECK_OK(&err, rn_options_load_text(
                         &err, &(rn_options_input){"a.yaml", yaml, sizeof yaml - 1, keys, count},
                         &locations, &config)) &&
      CHECK_OK(&err, rn_effective_create(&err, config, vocab, out));
  rn_options_free(&config);
  return done;
}

static void check_origin(const rn_effective *e, const char *key, const char *want) {
  char text[256];
  rn_effective_describe(e, &locations, key, text, sizeof text);
  if (!CHECK(strcmp(text, want) == 0)) fprintf(stderr, "%s: %s, not %s\n", key, text, want);
}

static void values_come_in_order_and_know_their_origin(void) {
  const char *keys[] = {"model.preset=retnet_1b3", "model.layers=3", "model.decay=eq8"};
  rn_effective e;
  if (!resolve(keys, 3, 300, &e)) return;
  CHECK_EQUAL(e.config->model->layers, 3);
  CHECK_EQUAL(e.config->model->dim, 2048);
  CHECK_EQUAL(e.config->model->decay, RETNET__DECAY__DECAY_EQ8);
  CHECK_EQUAL(e.config->model->head_norm, RETNET__HEAD_NORM__HEAD_NORM_GROUP);
  CHECK_EQUAL(e.config->model->vocab, 300);
  CHECK_EQUAL(e.spec.dim, 2048);
  CHECK_EQUAL(e.spec.layers, 3);
  check_origin(&e, "model.layers", "-s");
  check_origin(&e, "model.decay", "-s");
  check_origin(&e, "model.dim", "preset retnet_1b3");
  check_origin(&e, "model.head_norm", "preset retnet_1b3");
  check_origin(&e, "model.norm_eps", "a.yaml:3");
  check_origin(&e, "model.vocab", "data");
  check_origin(&e, "model.gate", "default");
  check_origin(&e, "train.steps", "default");
  CHECK(rn_options_given(e.config, "train.steps") && rn_options_given(e.config, "model.gate"));
  rn_effective_destroy(&e);
  rn_effective_destroy(&e);
}

/* The chunk of a preset is fitted to the reduction blocks; a given chunk is not changed. */
static void the_chunk_of_a_preset_fits_reduction_blocks(void) {
  const char *keys[] = {"model.preset=retnet_base", "run.reproducible=true",
                        "data.sequence_length=1024", "model.chunk=24"};
  rn_effective e;
  if (!resolve(keys, 3, 300, &e)) return;
  CHECK_EQUAL(e.config->model->chunk, 64);
  CHECK_EQUAL(e.config->run->leaf, 0);
  check_origin(&e, "model.chunk", "rule");
  rn_effective_destroy(&e);
  if (!resolve(keys, 4, 300, &e)) return;
  CHECK_EQUAL(e.config->model->chunk, 24);
  rn_effective_destroy(&e);
}

static void write_config(const rn_effective *e, const char *dir) {
  const rn_decisions decisions = {.item = {{"parallel.data", "4"}}, .count = 1};
  const rn_config_notes notes = {e, &locations, &decisions};
  CHECK_OK(&err, rn_run_config_write(&err, dir, &notes));
}

static char *read_file(const char *dir, const char *name) {
  void *text = NULL;
  size_t bytes = 0;
  if (rn_file_load(&err, rn_path_join(dir, name).text, 1 << 20, &text, &bytes) != RN_OK) {
    rn_err_clear(&err);
    return NULL;
  }
  return text;
}

static void put_file(const char *dir, const char *name, const char *text) {
  CHECK_OK(&err, rn_file_replace(&err, rn_path_join(dir, name).text, text, strlen(text)));
}

typedef struct two_configs {
  const Retnet__Config *a, *b;
} two_configs;

static void compare_key(void *self, const char *key) {
  const two_configs *both = self;
  char a[RN_OPTIONS_TEXT_BYTES], b[RN_OPTIONS_TEXT_BYTES];
  CHECK(rn_options_text(both->a, key, a, sizeof a) && rn_options_text(both->b, key, b, sizeof b));
  if (!CHECK(strcmp(a, b) == 0)) fprintf(stderr, "%s: %s and %s\n", key, a, b);
}

/* Checks for each preset that config.yaml yields the same values when it is read back, also
 * those that depend on the data. */
static void what_is_written_resolves_to_the_same(void) {
  static const char *const presets[] = {"model.preset=",           "model.preset=retnet_base",
                                        "model.preset=retnet_65b", "model.preset=retnet_1b3",
                                        "model.preset=retnet_6b7", "model.preset=retnet_3b"};
  for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
    for (int exact = 0; exact < 2; exact++) {
      const char *keys[] = {presets[i], "model.gate=false", "parallel.layer_split=[1, 2]",
                            exact ? "run.reproducible=true" : "run.reproducible=false"};
      rn_effective first, again;
      Retnet__Config *config = NULL;
      if (!resolve(keys, 4, 300, &first)) continue;
      const char *dir = temp_path("run");
      CHECK_OK(&err, rn_file_make_folder(&err, dir));
      write_config(&first, dir);
      const rn_path path = rn_path_join(dir, "config.yaml");
      if (CHECK_OK(&err, rn_options_load(&err, path.text, NULL, 0, &config)) &&
          CHECK_OK(&err, rn_effective_create(&err, config, 300, &again))) {
        const two_configs both = {first.config, again.config};
        rn_options_each(compare_key, (void *)&both);
        CHECK(memcmp(&first.spec, &again.spec, sizeof first.spec) == 0);
        rn_effective_destroy(&again);
      }
      rn_options_free(&config);
      rn_effective_destroy(&first);
    }
  }
}

/* A config.yaml that this program wrote is replaced. A file without this program's first line, an
 * edited file and a symbolic link are kept; effective.yaml is then written beside it. */
static void a_config_of_the_users_own_stays(void) {
  rn_effective e, other;
  const char *keys[] = {"train.steps=7"}, *others[] = {"train.steps=8"};
  if (!resolve(keys, 1, 300, &e) || !resolve(others, 1, 300, &other)) return;
  const char *dir = temp_path("own");
  CHECK_OK(&err, rn_file_make_folder(&err, dir));
  write_config(&e, dir);
  write_config(&other, dir);
  char *text = read_file(dir, "config.yaml"), *beside = read_file(dir, "effective.yaml");
  CHECK(text != NULL && strstr(text, "  steps: 8  # -s\n") != NULL && beside == NULL);
  CHECK(strstr(text, "  data: 0  # default; by rule: 4\n") != NULL);
  CHECK(strstr(text, "  norm_eps: 1e-05  # a.yaml:3\n") != NULL);
  *strstr(text, "steps: 8") = 'S';
  put_file(dir, "config.yaml", text);
  write_config(&e, dir);
  free(text);
  text = read_file(dir, "config.yaml"), beside = read_file(dir, "effective.yaml");
  CHECK(strstr(text, "Steps: 8") != NULL);
  CHECK(beside != NULL && strstr(beside, "  steps: 7  # -s\n") != NULL);
  free(text);
  free(beside);
  put_file(dir, "config.yaml", "run: {dir: own}\n");
  write_config(&other, dir);
  text = read_file(dir, "config.yaml"), beside = read_file(dir, "effective.yaml");
  CHECK(strcmp(text, "run: {dir: own}\n") == 0 && strstr(beside, "  steps: 8  # -s\n") != NULL);
  free(text);
  put_file(dir, "effective.yaml", "mine\n");
  free(beside);
  write_config(&e, dir);
  beside = read_file(dir, "effective.yaml");
  CHECK(strcmp(beside, "mine\n") == 0);
  free(beside);
  const char *links = temp_path("links");
  CHECK_OK(&err, rn_file_make_folder(&err, links));
  write_config(&e, links);
  rename(rn_path_join(links, "config.yaml").text, rn_path_join(links, "there.yaml").text);
  CHECK(symlink("there.yaml", rn_path_join(links, "config.yaml").text) == 0);
  write_config(&other, links);
  text = read_file(links, "config.yaml"), beside = read_file(links, "effective.yaml");
  CHECK(strstr(text, "  steps: 7  # -s\n") != NULL);
  CHECK(beside != NULL && strstr(beside, "  steps: 8  # -s\n") != NULL);
  free(text);
  free(beside);
  rn_effective_destroy(&e);
  rn_effective_destroy(&other);
}

int main(void) {
  values_come_in_order_and_know_their_origin();
  the_chunk_of_a_preset_fits_reduction_blocks();
  what_is_written_resolves_to_the_same();
  a_config_of_the_users_own_stays();
  return check_result();
}
