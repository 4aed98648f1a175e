/** Checks limits of a configuration file before it is loaded. Used only in proto/options. */
#ifndef RN_PROTO_OPTIONS_OPTIONS_GUARD_H
#define RN_PROTO_OPTIONS_OPTIONS_GUARD_H

#include <stddef.h>
#include <yaml.h>

#include "proto/options/options.h"

/** Checks the YAML text of a file. Errors: RN_ERR_USAGE with the line if the text is not YAML, has
 * several documents, or is too deep or too long. */
rn_status rn_options_check_yaml(rn_err *err, const char *path, const char *text, size_t bytes);

/** Returns the parser's error: RN_ERR_MEMORY if it ran out of memory, else RN_ERR_USAGE with the
 * line. */
rn_status rn_options_yaml_problem(rn_err *err, const char *path, const yaml_parser_t *parser);

#endif
