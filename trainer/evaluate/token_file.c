#include "trainer/evaluate/token_file.h"

#include <errno.h>
#include <string.h>

#include "data/file/file.h"
#include "proto/base/json.h"

rn_status rn_token_file_create(rn_err *err, const char *path, rn_token_file *out) {
  *out = (rn_token_file){.path = path};
  if (path == NULL) return RN_OK;
  out->file = fopen(path, "w");
  if (out->file != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_IO, "cannot create %s: %s", path, strerror(errno));
}

void rn_token_file_write(rn_token_file *file, rn_token_line line, const rn_token_score *score,
                         int count) {
  FILE *out = file->file;
  if (out == NULL) return;
  fputc('{', out);
  if (line.set >= 0) fprintf(out, "\"set\": %d, ", line.set);
  fprintf(out, "\"%s\": %lld, \"position\": %lld, \"tokens\": [", line.kind, (long long)line.index,
          (long long)line.position);
  for (int i = 0; i < count; i++) fprintf(out, "%s%d", i > 0 ? ", " : "", score[i].target);
  fprintf(out, "], \"log_likelihoods\": [");
  for (int i = 0; i < count; i++) {
    fprintf(out, "%s%s", i > 0 ? ", " : "", RN_JSON(0 - (double)score[i].loss));
  }
  if (line.greedy) fprintf(out, "], \"greedy\": [");
  for (int i = 0; line.greedy && i < count; i++) {
    fprintf(out, "%s%s", i > 0 ? ", " : "", score[i].largest ? "true" : "false");
  }
  fprintf(out, "]}\n");
  if (file->error == 0 && ferror(out) != 0) file->error = errno;
}

rn_status rn_token_file_close(rn_err *err, rn_token_file *file) {
  if (file->file == NULL) return RN_OK;
  if (fclose(file->file) != 0 && file->error == 0) file->error = errno;
  file->file = NULL;
  return file->error == 0 ? RN_OK : rn_file_fail(err, "write", file->path, file->error);
}

void rn_token_file_discard(rn_token_file *file) {
  if (file->file != NULL) (void)fclose(file->file);
  file->file = NULL;
}
