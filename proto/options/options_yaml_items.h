/** Private to proto/options: the items of a list in a YAML document that is open. */
#ifndef RN_PROTO_OPTIONS_OPTIONS_YAML_ITEMS_H
#define RN_PROTO_OPTIONS_OPTIONS_YAML_ITEMS_H

#include <yaml.h>

#include "proto/options/options_items.h"

/** As rn_options_items_parse, from the node of a list. */
rn_status rn_options_yaml_items(rn_err *err, const char *where, const char *fields,
                                yaml_document_t *document, const yaml_node_t *list,
                                rn_options_items *out);

#endif
