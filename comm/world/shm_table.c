#include "comm/world/shm_table.h"

#include <stdlib.h>
#include <string.h>

#include "comm/world/shm_files.h"
#include "proto/base/arena.h"

static int compare_bytes(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
  const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
  return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* Orders rows by host, then by file. */
static int compare_files(const rn_shm_row *a, const rn_shm_row *b) {
  const int order = compare_bytes(a->text, a->host_bytes, b->text, b->host_bytes);
  if (order != 0) return order;
  return compare_bytes(a->file, (size_t)(a->text + a->bytes - a->file), b->file,
                       (size_t)(b->text + b->bytes - b->file));
}

/* Orders the rows of one file from old to new. */
static int compare_rows(const void *left, const void *right) {
  const rn_shm_row *a = *(rn_shm_row *const *)left, *b = *(rn_shm_row *const *)right;
  const int order = compare_files(a, b);
  return order != 0 ? order : (a > b) - (a < b);
}

static rn_shm_row make_row(const char *text, size_t bytes) {
  enum { FIELDS_BEFORE_FILE = 3 };
  rn_shm_row row = {.text = text, .file = text, .bytes = bytes, .host_bytes = strcspn(text, " \n")};
  for (int i = 0; i < FIELDS_BEFORE_FILE; i++) {
    row.file += strcspn(row.file, " \n");
    if (*row.file == ' ') row.file++;
  }
  return row;
}

rn_status rn_shm_table_create(rn_err *err, const char *text, rn_shm_table *out) {
  size_t lines = 0;
  *out = (rn_shm_table){0};
  for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) lines++;
  rn_status status =
      rn_alloc(err, "lines of shared-memory.txt", lines + 1, sizeof *out->rows, &out->rows);
  if (status == RN_OK) {
    status =
        rn_alloc(err, "lines of shared-memory.txt", lines + 1, sizeof *out->sorted, &out->sorted);
  }
  if (status != RN_OK) {
    rn_shm_table_destroy(out);
    return status;
  }
  for (const char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
    if (!rn_shm_line_is_valid(at, (size_t)(end - at))) continue;
    out->rows[out->count] = make_row(at, (size_t)(end + 1 - at));
    out->sorted[out->count] = &out->rows[out->count];
    out->count++;
  }
  qsort(out->sorted, out->count, sizeof *out->sorted, compare_rows);
  for (size_t i = 1; i < out->count; i++) {
    if (compare_files(out->sorted[i - 1], out->sorted[i]) == 0) out->sorted[i - 1]->repeated = true;
  }
  return RN_OK;
}

void rn_shm_table_destroy(rn_shm_table *table) {
  free(table->rows);
  free(table->sorted);
  *table = (rn_shm_table){0};
}

/* Returns the index in `sorted` of the first row whose host is not before `host`. */
static size_t find_host(const rn_shm_table *t, const char *host, size_t host_bytes) {
  size_t begin = 0, end = t->count;
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    const rn_shm_row *row = t->sorted[middle];
    if (compare_bytes(row->text, row->host_bytes, host, host_bytes) < 0) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

void rn_shm_table_select_host(rn_shm_table *t, const char *host, size_t host_bytes, FILE *out) {
  for (size_t i = find_host(t, host, host_bytes); i < t->count; i++) {
    rn_shm_row *row = t->sorted[i];
    if (compare_bytes(row->text, row->host_bytes, host, host_bytes) != 0) return;
    row->selected = true;
    if (!row->repeated) fwrite(row->text, 1, row->bytes, out);
  }
}

void rn_shm_table_print_rest(const rn_shm_table *t, size_t max, FILE *out) {
  size_t rest = 0;
  for (size_t i = 0; i < t->count; i++) rest += !t->rows[i].repeated && !t->rows[i].selected;
  for (size_t i = 0; i < t->count; i++) {
    const rn_shm_row *row = &t->rows[i];
    if (row->repeated || row->selected) continue;
    if (rest-- <= max) fwrite(row->text, 1, row->bytes, out);
  }
}
