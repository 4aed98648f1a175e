#include "trainer/config/config_text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/arena.h"
#include "proto/options/options.h"

void rn_config_text_peek(const char *path, rn_config_text *out) {
  struct stat about;
  rn_err ignored = {0};
  *out = (rn_config_text){.path = path};
  if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) return;
  if (rn_options_read(&ignored, path, &out->text, &out->bytes) != RN_OK) out->text = NULL;
}

/*
 * Checks that all ranks have the same configuration. Compares the texts if every rank has read the
 * file itself, otherwise the paths.
 */
static rn_status check_same(rn_err *err, rn_world *world, const rn_config_text *text) {
  int64_t unread = text->text == NULL;
  RN_TRY(err, rn_world_max(err, world, &unread, 1));
  return unread ? rn_world_check_same(err, world, "CONFIG.yaml", text->path, strlen(text->path))
                : rn_world_check_same(err, world, "CONFIG.yaml", text->text, text->bytes);
}

rn_status rn_config_text_broadcast(rn_err *err, rn_world *world, rn_config_text *text) {
  const bool first = rn_world_rank(world) == 0;
  uint64_t bytes = 0;
  RN_TRY(err, check_same(err, world, text));
  rn_status status = RN_OK;
  if (first && text->text == NULL) {
    status = rn_options_read(err, text->path, &text->text, &text->bytes);
  }
  RN_TRY(err, rn_agree(err, world, status));
  if (first) bytes = text->bytes;
  RN_TRY(err, rn_world_broadcast(err, world, &bytes, sizeof bytes));
  if (!first) {
    free(text->text);
    text->bytes = (size_t)bytes;
    status = rn_alloc(err, "configuration", text->bytes + 1, 1, &text->text);
  }
  RN_TRY(err, rn_agree(err, world, status));
  return rn_world_broadcast(err, world, text->text, text->bytes);
}

void rn_config_text_free(rn_config_text *text) {
  free(text->text);
  *text = (rn_config_text){0};
}
