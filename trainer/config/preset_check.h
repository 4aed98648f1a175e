/** Checks that a preset given by -s takes effect. */
#ifndef RN_TRAINER_CONFIG_PRESET_CHECK_H
#define RN_TRAINER_CONFIG_PRESET_CHECK_H

#include "proto/options/options.h"

/**
 * Lists the keys of the file that override a preset given by -s: keys take precedence over a
 * preset, whether they are given in the file or by -s, so model.preset has no effect on them. If
 * the preset is given in the file, its keys are meant to be overridden there, and a key given by -s
 * is meant to override the preset, so neither case is listed.
 *
 * Writes the keys, separated by commas, into text [bytes]; "" if there are no such keys.
 * `locations` are the source positions recorded when loading. *count is the number of all such
 * keys, even if text is too small for all of them. Errors: RN_ERR_USAGE for an unknown preset;
 * RN_ERR_MEMORY.
 */
rn_status rn_preset_check_find(rn_err *err, const Retnet__Config *config,
                               const rn_options_locations *locations, char *text, size_t bytes,
                               int *count);

/** Warns about the keys that rn_preset_check_find lists. Errors: those of rn_preset_check_find. */
rn_status rn_preset_check(rn_err *err, const Retnet__Config *config,
                          const rn_options_locations *locations);

#endif
