/* Writes RUN/trace.json: individual spans in the Chrome trace event format, with one process per
 * rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "proto/base/span.h"
#include "trainer/profile/profile.h"

static void put_event(FILE *file, int rank, const rn_profile *profile, const rn_span_event *e) {
  fprintf(file,
          "{\"name\": \"%s\", \"ph\": \"X\", \"pid\": %d, \"tid\": 0, \"ts\": %.3f, \"dur\": %.3f",
          rn_spans_get()->path[e->path].name, rank, 1e6 * (e->begin_s - profile->origin_s),
          1e6 * (e->end_s - e->begin_s));
  if (e->microbatch >= 0) {
    fprintf(file, ", \"args\": {\"microbatch\": %d, \"segment\": %d}", e->microbatch, e->segment);
  }
  fprintf(file, "},\n");
}

/* Writes the events of this rank to *text. */
static rn_status write_own(rn_err *err, const rn_profile *profile, char **text, size_t *bytes) {
  const rn_grid *grid = profile->parallel->grid;
  const rn_world *world = profile->parallel->world;
  const int rank = rn_world_rank(world);
  const rn_spans *trace = rn_spans_get();
  FILE *file = open_memstream(text, bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the trace");
  fprintf(file,
          "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": %d, \"args\": {\"name\": \"rank %d "
          "(data %d, stage %d, sequence %d) on %s\"}},\n",
          rank, rank, rn_grid_data(grid), rn_grid_pipeline(grid), rn_grid_sequence(grid),
          rn_world_host(world));
  for (int64_t i = 0; i < trace->events; i++) put_event(file, rank, profile, &trace->event[i]);
  const bool written = ferror(file) == 0;
  return fclose(file) == 0 && written
             ? RN_OK
             : rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the trace");
}

static rn_status write_file(rn_err *err, const char *run_dir, const char *all, size_t bytes) {
  static const char head[] = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
  static const char tail[] = "{\"name\": \"end\", \"ph\": \"M\", \"pid\": 0, \"args\": {}}]}\n";
  const rn_path path = rn_path_join(run_dir, "trace.json");
  const int64_t begin = (int64_t)strlen(head), end = begin + (int64_t)bytes;
  const rn_path temporary = rn_path_join(run_dir, "trace.json.tmp");
  rn_file file = {0};
  RN_TRY(err, rn_file_create(err, temporary.text, &file));
  rn_status status = rn_file_write(err, &file, 0, head, strlen(head));
  if (status == RN_OK) status = rn_file_write(err, &file, begin, all, bytes);
  if (status == RN_OK) status = rn_file_write(err, &file, end, tail, strlen(tail));
  if (status == RN_OK) return rn_file_publish(err, &file, path.text);
  rn_file_destroy(&file);
  (void)rn_file_remove_tree(NULL, temporary.text);
  return status;
}

rn_status rn_profile_trace(rn_err *err, const char *run_dir, const rn_profile *profile) {
  rn_world *world = profile->parallel->world;
  char *text = NULL, *all = NULL;
  size_t bytes = 0, total = 0, *sizes = NULL;
  rn_status status = rn_agree(err, world, write_own(err, profile, &text, &bytes));
  if (status == RN_OK) {
    status = rn_world_gather_bytes(err, world, text, bytes, &all, &sizes);
  }
  free(text);
  if (status != RN_OK) return status;
  if (rn_world_rank(world) == 0) {
    for (int i = 0; i < rn_world_size(world); i++) total += sizes[i];
    status = write_file(err, run_dir, all, total);
  }
  free(all);
  free(sizes);
  return rn_agree(err, world, status);
}
