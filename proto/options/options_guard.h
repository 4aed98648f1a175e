/** Inside of options: a configuration file's bytes, bounded before they are understood. */
#ifndef RN_PROTO_OPTIONS_OPTIONS_GUARD_H
#define RN_PROTO_OPTIONS_OPTIONS_GUARD_H

#include <stddef.h>
#include <yaml.h>

#include "proto/options/options.h"

/** Errors: RN_ERR_USAGE with the line: no YAML, more than one document, too deep or too long. */
rn_status rn_options_check_yaml(rn_err *err, const char *path, const char *text, size_t bytes);

/** What the parser stumbled over, as an error. */
rn_status rn_options_yaml_problem(rn_err *err, const char *path, const yaml_parser_t *parser);

#endif
