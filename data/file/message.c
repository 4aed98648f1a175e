#include "data/file/message.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void *take(void *failed, size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) *(bool *)failed = true;
  return memory;
}

static void give_back(void *failed, void *memory) {
  (void)failed;
  free(memory);
}

rn_status rn_message_unpack(rn_err *err, const char *where, const char *fault,
                            const ProtobufCMessageDescriptor *type, rn_bytes packed, void *out) {
  bool failed = false;
  ProtobufCAllocator allocator = {take, give_back, &failed};
  ProtobufCMessage *message =
      protobuf_c_message_unpack(type, &allocator, packed.count, packed.data);
  memcpy(out, &message, sizeof message);
  if (message != NULL) return RN_OK;
  if (failed) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while reading it", where);
  return rn_fail(err, RN_ERR_FORMAT, "%s: %s", where, fault);
}
