/** Defines the constants of the byte tokenizer. */
#ifndef RN_DATA_TOKENIZER_BYTES_H
#define RN_DATA_TOKENIZER_BYTES_H

#include <stdint.h>

#define RN_BYTES_NAME "bytes"
#define RN_BYTES_HASH UINT64_C(0x6279746573000101)
enum { RN_BYTES_DOCUMENT = 256, RN_BYTES_VOCABULARY = 257 };

#endif
