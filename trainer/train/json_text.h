/** Writes JSON text to a memory stream (open_memstream). */
#ifndef RN_TRAINER_TRAIN_JSON_TEXT_H
#define RN_TRAINER_TRAIN_JSON_TEXT_H

#include <stdio.h>

#include "proto/base/status.h"

/** Appends `, "name": value` with all digits, or with null if the value is not finite. */
void rn_json_put(FILE *file, const char *name, double value);

/** Closes the stream. Errors: RN_ERR_MEMORY naming `what` if the text is incomplete. */
rn_status rn_json_close(rn_err *err, FILE *file, const char *what);

#endif
