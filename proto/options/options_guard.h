/** Private to proto/options: limits on a configuration file, checked before it is loaded. */
#ifndef RN_PROTO_OPTIONS_OPTIONS_GUARD_H
#define RN_PROTO_OPTIONS_OPTIONS_GUARD_H

#include <stddef.h>
#include <yaml.h>

#include "proto/options/options.h"

/** Errors: RN_ERR_USAGE with the line: not YAML, several documents, too deep or too long. */
rn_status rn_options_check_yaml(rn_err *err, const char *path, const char *text, size_t bytes);

/** Records the parser's error. Errors: RN_ERR_USAGE with the line; RN_ERR_MEMORY. */
rn_status rn_options_yaml_problem(rn_err *err, const char *path, const yaml_parser_t *parser);

#endif
