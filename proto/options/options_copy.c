/* Creates, copies and merges whole configurations. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/options/options_key.h"

rn_status rn_options_complete(rn_err *err, Retnet__Config *config) {
  const ProtobufCMessageDescriptor *type = &retnet__config__descriptor;
  for (unsigned i = 0; i < type->n_fields; i++) {
    char *place = (char *)config + type->fields[i].offset;
    const ProtobufCMessageDescriptor *section_type = type->fields[i].descriptor;
    ProtobufCMessage *section;
    memcpy(&section, place, sizeof section);
    if (section != NULL) continue;
    section = calloc(1, section_type->sizeof_message);
    if (section == NULL)
      return rn_fail(err, RN_ERR_MEMORY, "out of memory while copying the configuration");
    protobuf_c_message_init(section_type, section);
    memcpy(place, &section, sizeof section);
  }
  return RN_OK;
}

rn_status rn_options_create(rn_err *err, Retnet__Config **out) {
  RN_TRY(err, rn_alloc(err, "configuration", 1, sizeof **out, out));
  retnet__config__init(*out);
  const rn_status status = rn_options_complete(err, *out);
  if (status != RN_OK) rn_options_free(out);
  return status;
}

void rn_options_free(Retnet__Config **config) {
  if (*config != NULL) retnet__config__free_unpacked(*config, NULL);
  *config = NULL;
}

rn_status rn_options_copy(rn_err *err, const Retnet__Config *config, Retnet__Config **out) {
  const size_t bytes = retnet__config__get_packed_size(config);
  uint8_t *packed;
  RN_TRY(err, rn_alloc(err, "configuration", bytes + 1, 1, &packed));
  retnet__config__pack(config, packed);
  *out = retnet__config__unpack(NULL, bytes, packed);
  free(packed);
  if (*out == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while copying the configuration");
  const rn_status status = rn_options_complete(err, *out);
  if (status != RN_OK) rn_options_free(out);
  return status;
}

/* Returns the number of bytes of a value that is stored in the message; 0 for texts and lists,
 * because the message stores only pointers to them. */
static size_t plain_bytes(const ProtobufCFieldDescriptor *field) {
  if (field->label == PROTOBUF_C_LABEL_REPEATED) return 0;
  switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
      return sizeof(int32_t);
    case PROTOBUF_C_TYPE_INT64:
      return sizeof(int64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
      return sizeof(double);
    case PROTOBUF_C_TYPE_BOOL:
      return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
      return sizeof(int);
    default:
      return 0;
  }
}

static protobuf_c_boolean *given_flag(const Retnet__Config *config, const rn_options_key *key) {
  char *section = (char *)rn_options_section(config, key);
  return (protobuf_c_boolean *)(section + key->field->quantifier_offset);
}

typedef struct pair {
  Retnet__Config *to;
  const Retnet__Config *from;
} pair;

static void merge_key(void *self, const char *name) {
  const pair *p = self;
  rn_options_key key;
  if (!rn_options_find(name, &key)) return;
  const size_t bytes = plain_bytes(key.field);
  if (bytes == 0 || *given_flag(p->to, &key) || !*given_flag(p->from, &key)) return;
  memcpy(rn_options_member(p->to, &key), rn_options_member(p->from, &key), bytes);
  *given_flag(p->to, &key) = 1;
}

void rn_options_merge(Retnet__Config *config, const Retnet__Config *from) {
  pair p = {config, from};
  rn_options_each(merge_key, &p);
}

static void give_key(void *self, const char *name) {
  Retnet__Config *config = self;
  rn_options_key key;
  if (rn_options_find(name, &key) && plain_bytes(key.field) > 0) *given_flag(config, &key) = 1;
}

void rn_options_give_all(Retnet__Config *config) {
  rn_options_each(give_key, config);
}
