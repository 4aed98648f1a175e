/** Reads members of a JSON object from a file that is not trusted; null counts as absent. */
#ifndef RN_TRAINER_EXCHANGE_JSON_FIELDS_H
#define RN_TRAINER_EXCHANGE_JSON_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/status.h"

/** A JSON object, and the name that messages give it, for example "hf/config.json". */
typedef struct rn_json_fields {
  json_t *object;
  const char *file;
} rn_json_fields;

/** Passed as the default of a member that must be present. */
#define RN_JSON_REQUIRED (-1)

/** True if the member is present and not null. */
bool rn_json_has(const rn_json_fields *fields, const char *key);

/** These functions read an integer in 1 .. max, a number greater than 0 and at most max, a boolean
 * or a string. They return the default, `otherwise`, if the member is absent. Errors: RN_ERR_FORMAT
 * naming the file and the key. */
rn_status rn_json_int(rn_err *err, const rn_json_fields *fields, const char *key, int max,
                      int otherwise, int *out);
rn_status rn_json_real(rn_err *err, const rn_json_fields *fields, const char *key, double max,
                       double otherwise, double *out);
rn_status rn_json_bool(rn_err *err, const rn_json_fields *fields, const char *key, bool otherwise,
                       bool *out);
rn_status rn_json_string(rn_err *err, const rn_json_fields *fields, const char *key,
                         const char *otherwise, const char **out);

/** Fails unless the member is absent. Errors: RN_ERR_MISMATCH naming file, key and `what`, which
 * says what the value means. */
rn_status rn_json_refuse(rn_err *err, const rn_json_fields *fields, const char *key,
                         const char *what);

#endif
