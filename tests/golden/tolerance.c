/* Reads the measured error bounds for single precision: config.tolerance of a golden file, and
 * tolerances.json. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/golden/golden.h"

static const char table_name[] = "tolerances.json";

/* Writes the path of the table, which is in the folder of the case's file. */
static rn_status table_path(rn_err *err, const golden_case *c, char *path, size_t bytes) {
  const char *slash = strrchr(c->path, '/');
  const int folder = slash == NULL ? 0 : (int)(slash - c->path) + 1;
  const int length = snprintf(path, bytes, "%.*s%s", folder, c->path, table_name);
  if (length >= 0 && (size_t)length < bytes) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s: the path is too long", c->path);
}

static rn_status check_bounds(rn_err *err, const char *where, json_t *bounds) {
  const char *name;
  json_t *bound;
  if (!json_is_object(bounds)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: must be an object of numbers by array", where);
  }
  json_object_foreach(bounds, name, bound) {
    if (json_is_number(bound) && isfinite(json_number_value(bound)) &&
        json_number_value(bound) >= 0) {
      continue;
    }
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s must be a number of 0 or more", where, name);
  }
  return RN_OK;
}

/* Reads the table's bounds for this case. There are none if the table does not exist or has no
 * entry for the case. */
static rn_status read_table(rn_err *err, golden_case *c) {
  char path[PATH_MAX];
  json_error_t error;
  const char *name = rn_safetensors_metadata(c->file, "case");
  RN_TRY(err, table_path(err, c, path, sizeof path));
  if (access(path, F_OK) != 0) return RN_OK;
  json_t *table = json_load_file(path, 0, &error);
  if (table == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: line %d: %s", path, error.line, error.text);
  }
  json_t *cases = json_object_get(table, "tolerances");
  json_t *bounds = name != NULL ? json_object_get(cases, name) : NULL;
  rn_status status = RN_OK;
  if (!json_is_object(cases)) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s: has no object \"tolerances\"", path);
  } else if (bounds != NULL) {
    status = check_bounds(err, path, bounds);
    c->table_bounds = json_incref(bounds);
  }
  json_decref(table);
  return status;
}

rn_status golden_read_tolerances(rn_err *err, golden_case *c) {
  c->own_bounds = json_incref(json_object_get(c->config, "tolerance"));
  if (c->own_bounds != NULL) RN_TRY(err, check_bounds(err, "config.tolerance", c->own_bounds));
  return read_table(err, c);
}

bool golden_bound(const golden_case *c, const char *name, double *bound) {
  const json_t *found = json_object_get(c->own_bounds, name);
  if (found == NULL) found = json_object_get(c->table_bounds, name);
  if (found != NULL) *bound = json_number_value(found);
  return found != NULL;
}
