/* Checks which keys the preset check lists if a preset is set by option -s: the keys of the file
 * whose values differ from those of the preset. It lists no keys if the preset is set in the file,
 * no keys that are set by -s, and no keys whose value is that of the preset. */
#include "trainer/config/preset_check.h"

#include <string.h>

#include "tests/support/check.h"

static rn_err err;

static rn_status load(const char *yaml, const char *const *keys, int count,
                      rn_options_locations *locations, Retnet__Config **config) {
  const rn_options_input input = {"a.yaml", yaml, strlen(yaml), keys, count};
  return rn_options_load_text(&err, &input, locations, config);
}

/* Returns whether the preset check lists exactly the keys in `want` for the file text `yaml` and
 * the -s options `keys`. */
static bool names(const char *yaml, const char *const *keys, int count, const char *want) {
  Retnet__Config *config = NULL;
  rn_options_locations locations;
  char text[400];
  int found = 0, wanted = want[0] != '\0';
  for (const char *c = want; *c != '\0'; c++) wanted += *c == ',';
  if (!CHECK_OK(&err, load(yaml, keys, count, &locations, &config))) {
    return false;
  }
  CHECK_OK(&err, rn_preset_check_find(&err, config, &locations, text, sizeof text, &found));
  CHECK_EQUAL(found, wanted);
  if (strcmp(text, want) != 0) fprintf(stderr, "named: %s, not %s\n", text, want);
  rn_options_free(&config);
  return strcmp(text, want) == 0;
}

static void keys_of_the_file_are_named(void) {
  static const char *const preset[] = {"model.preset=retnet_1b3", "model.ffn_dim=7"};
  CHECK(names("model: {layers: 3, dim: 64}\n", preset, 1, "model.layers, model.dim"));
  /* The preset has 24 layers. */
  CHECK(names("model: {dim: 64, layers: 24}\n", preset, 1, "model.dim"));
  CHECK(names("model: {dim: 64, ffn_dim: 5}\n", preset, 2, "model.dim")); /* ffn_dim is set by -s */
  CHECK(names("model: {norm_eps: 1e-5, vocab: 999}\n", preset, 1, ""));
  CHECK(names("model: {preset: retnet_base, layers: 2}\n", preset, 1, "model.layers"));
}

static void other_configurations_are_not(void) {
  static const char *const none[] = {"model.layers=2", "model.preset="};
  CHECK(names("model: {preset: retnet_1b3, layers: 3, dim: 64}\n", NULL, 0, ""));
  CHECK(names("model: {preset: retnet_1b3, dim: 64}\n", none, 1, ""));
  CHECK(names("model: {preset: retnet_1b3, dim: 64}\n", none, 2, ""));
  CHECK(names("model: {layers: 3}\n", none, 1, ""));
}

/* If the buffer is too small, the text ends with "..."; the count includes all keys. */
static void a_long_list_is_cut(void) {
  static const char *const preset[] = {"model.preset=retnet_1b3"};
  static const char yaml[] = "model: {layers: 3, dim: 64, ffn_dim: 64, heads: 2}\n";
  Retnet__Config *config = NULL;
  rn_options_locations locations;
  char text[32];
  int found = 0;
  if (!CHECK_OK(&err, load(yaml, preset, 1, &locations, &config))) {
    return;
  }
  CHECK_OK(&err, rn_preset_check_find(&err, config, &locations, text, sizeof text, &found));
  CHECK_EQUAL(found, 4);
  CHECK(strcmp(text, "model.layers, model.dim, ...") == 0);
  config->model->preset[0] = 'x';
  CHECK_EQUAL(rn_preset_check_find(&err, config, &locations, text, sizeof text, &found),
              RN_ERR_USAGE);
  rn_err_clear(&err);
  rn_options_free(&config);
}

int main(void) {
  keys_of_the_file_are_named();
  other_configurations_are_not();
  a_long_list_is_cut();
  return check_result();
}
