/** Parses the items of a list in a YAML document that is already loaded. Used only in
 * proto/options. */
#ifndef RN_PROTO_OPTIONS_OPTIONS_YAML_ITEMS_H
#define RN_PROTO_OPTIONS_OPTIONS_YAML_ITEMS_H

#include <yaml.h>

#include "proto/options/options_items.h"

/** Like rn_options_items_parse, but parses the list at node `list` of `document`. */
rn_status rn_options_yaml_items(rn_err *err, const char *where, const char *fields,
                                yaml_document_t *document, const yaml_node_t *list,
                                rn_options_items *out);

#endif
