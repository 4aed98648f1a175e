/** Checks that a preset given by -s takes effect. */
#ifndef RN_TRAINER_CONFIG_PRESET_CHECK_H
#define RN_TRAINER_CONFIG_PRESET_CHECK_H

#include "proto/options/options.h"

/**
 * Lists the keys of the file for which model.preset, given by -s, has another value: keys that are
 * given take precedence over a preset, wherever they are given. A preset in the file is meant to be
 * completed by the file's keys, and a key given by -s is meant to win, so neither is listed.
 *
 * Writes the keys, separated by commas, into text [bytes]; "" if there are none. `locations` are
 * the source positions recorded when loading. *count is the number of keys, of which text may hold
 * only the first. Errors: RN_ERR_USAGE for an unknown preset; RN_ERR_MEMORY.
 */
rn_status rn_preset_check_find(rn_err *err, const Retnet__Config *config,
                               const rn_options_locations *locations, char *text, size_t bytes,
                               int *count);

/** Warns about such keys. Errors: as above. */
rn_status rn_preset_check(rn_err *err, const Retnet__Config *config,
                          const rn_options_locations *locations);

#endif
