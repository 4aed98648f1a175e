/** Checks that a preset given by -s takes effect. */
#ifndef RN_TRAINER_CONFIG_PRESET_CHECK_H
#define RN_TRAINER_CONFIG_PRESET_CHECK_H

#include "proto/options/options.h"

/**
 * Lists the keys of the file that override a preset given by -s. Explicit keys take precedence over
 * a preset, so -s model.preset does not change them, although the user may expect that it does. Two
 * cases are intended and not listed: keys in the file if the file also gives the preset, and keys
 * given by -s.
 *
 * Writes the keys, separated by commas, into text [bytes]; "" if there are none. `locations` are
 * the source positions recorded when loading. *count is the number of these keys, even if `text` is
 * too small to list them all. Errors: RN_ERR_USAGE for an unknown preset; RN_ERR_MEMORY.
 */
rn_status rn_preset_check_find(rn_err *err, const Retnet__Config *config,
                               const rn_options_locations *locations, char *text, size_t bytes,
                               int *count);

/** Warns about the keys that rn_preset_check_find lists. Errors: those of rn_preset_check_find. */
rn_status rn_preset_check(rn_err *err, const Retnet__Config *config,
                          const rn_options_locations *locations);

#endif
