#include "trainer/config/preset_check.h"

#include <stdio.h>
#include <string.h>

#include "model/spec/preset.h"
#include "proto/base/log.h"

/* Context of a visit over all keys that searches for overridden preset keys. */
typedef struct search {
  const Retnet__Config *config, *preset;
  const rn_options_locations *locations;
  char *text;
  size_t bytes;
  int count;
} search;

static void append(search *s, const char *key) {
  const size_t used = strlen(s->text);
  const char *separator = s->count > 0 ? ", " : "";
  if (used + strlen(separator) + strlen(key) + sizeof ", ..." > s->bytes) key = "...";
  if (used >= 3 && strcmp(s->text + used - 3, "...") == 0) return;
  snprintf(s->text + used, s->bytes - used, "%s%s", separator, key);
}

static void visit(void *self, const char *key) {
  search *s = self;
  char given[RN_OPTIONS_TEXT_BYTES], of_preset[RN_OPTIONS_TEXT_BYTES];
  const int line = s->locations->line[rn_options_key_index(key)];
  if (line <= 0 || !rn_options_given(s->preset, key)) return;
  rn_options_text(s->config, key, given, sizeof given);
  rn_options_text(s->preset, key, of_preset, sizeof of_preset);
  if (strcmp(given, of_preset) == 0) return;
  append(s, key);
  s->count++;
}

rn_status rn_preset_check_find(rn_err *err, const Retnet__Config *config,
                               const rn_options_locations *locations, char *text, size_t bytes,
                               int *count) {
  const char *name = config->model->preset;
  Retnet__Config *preset = NULL;
  search s = {config, NULL, locations, text, bytes, 0};
  text[0] = '\0';
  *count = 0;
  if (name == NULL || name[0] == '\0') return RN_OK;
  if (locations->line[rn_options_key_index("model.preset")] != RN_OPTIONS_BY_S) return RN_OK;
  RN_TRY(err, rn_options_create(err, &preset));
  const rn_status status = rn_preset_keys(err, name, preset->model);
  if (status == RN_OK) {
    s.preset = preset;
    rn_options_each(visit, &s);
    *count = s.count;
  }
  rn_options_free(&preset);
  return status;
}

rn_status rn_preset_check(rn_err *err, const Retnet__Config *config,
                          const rn_options_locations *locations) {
  char keys[400];
  int count;
  RN_TRY(err, rn_preset_check_find(err, config, locations, keys, sizeof keys, &count));
  if (count == 0) return RN_OK;
  rn_log_warn(
      "-s model.preset=%s does not change %d keys, because %s sets them and explicit keys override "
      "a preset: %s. Remove them from the file, or set them with -s, to use the values of the "
      "preset",
      config->model->preset, count, locations->file, keys);
  return RN_OK;
}
