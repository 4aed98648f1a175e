/**
 * Reads and writes safetensors files, which exchange weights with other programs.
 *
 * A file is an 8-byte little-endian length, that many bytes of JSON header, then the tensors' raw
 * little-endian bytes. Input is untrusted: lengths are limited, types and shapes are checked
 * against byte ranges, and the ranges must fill the file without holes or overlaps.
 */
#ifndef RN_DATA_EXCHANGE_SAFETENSORS_H
#define RN_DATA_EXCHANGE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/* X(name of the type in files, size of an element in bytes) */
#define RN_SAFETENSORS_TYPES(X) \
  X(F32, 4)                     \
  X(F64, 8)                     \
  X(I64, 8)                     \
  X(I32, 4)                     \
  X(F16, 2) X(BF16, 2) X(I16, 2) X(I8, 1) X(U8, 1) X(U16, 2) X(U32, 4) X(U64, 8) X(BOOL, 1)

typedef enum {
#define RN_SAFETENSORS_ENUM(name, bytes) RN_SAFETENSORS_##name,
  RN_SAFETENSORS_TYPES(RN_SAFETENSORS_ENUM)
#undef RN_SAFETENSORS_ENUM
      RN_SAFETENSORS_TYPE_COUNT
} rn_safetensors_type;

enum { RN_SAFETENSORS_DIMS = 8 };

/** A tensor's name, type, shape (row-major) and the offset of its bytes in the file. */
typedef struct rn_safetensors_tensor {
  const char *name;
  rn_safetensors_type type;
  int dims;
  int64_t shape[RN_SAFETENSORS_DIMS];
  int64_t count; /* number of elements; 1 if dims is 0 */
  int64_t offset;
} rn_safetensors_tensor;

/** A key and its string value in the header's __metadata__. */
typedef struct rn_safetensors_note {
  const char *key;
  const char *value;
} rn_safetensors_note;

typedef struct rn_safetensors rn_safetensors;
typedef struct rn_safetensors_writer rn_safetensors_writer;

/** Return the name of the type in files, and the size of one element in bytes. */
const char *rn_safetensors_type_name(rn_safetensors_type type);
size_t rn_safetensors_type_bytes(rn_safetensors_type type);

/**
 * Opens a file and checks its header.
 *
 * Ownership: rn_safetensors_close; names and tensors are valid until then.
 * Errors:    RN_ERR_FORMAT naming the file and the tensor; RN_ERR_NOT_FOUND, RN_ERR_IO.
 */
rn_status rn_safetensors_open(rn_err *err, const char *path, rn_safetensors **out);

/** Closes and clears the pointer; accepts NULL. */
void rn_safetensors_close(rn_safetensors **file);

/** Return the number of tensors, and the tensor at `index` in the order of names. */
int rn_safetensors_count(const rn_safetensors *file);
const rn_safetensors_tensor *rn_safetensors_at(const rn_safetensors *file, int index);

/** Finds a tensor by name, or returns NULL. */
const rn_safetensors_tensor *rn_safetensors_find(const rn_safetensors *file, const char *name);

/** Returns the value of `key` in __metadata__, or NULL if there is none. */
const char *rn_safetensors_metadata(const rn_safetensors *file, const char *key);

/** Reads elements [first, first + count) in their stored type into `out`. */
rn_status rn_safetensors_read(rn_err *err, const rn_safetensors *file,
                              const rn_safetensors_tensor *tensor, int64_t first, int64_t count,
                              void *out);

/**
 * Reads elements [first, first + count) as doubles.
 *
 * Errors: RN_ERR_FORMAT for a type other than F32, F64, I64, I32.
 */
rn_status rn_safetensors_read_f64(rn_err *err, const rn_safetensors *file,
                                  const rn_safetensors_tensor *tensor, int64_t first, int64_t count,
                                  double *out);

/** Content of the header of a new file: the tensors (name, type, dims, shape) and __metadata__. */
typedef struct rn_safetensors_header {
  const rn_safetensors_tensor *tensors; /* [count] */
  int count;
  const rn_safetensors_note *notes; /* [note_count] */
  int note_count;
} rn_safetensors_header;

/**
 * Creates a file with this header. The tensors must then be appended in the order of the header.
 *
 * The file has a temporary name until rn_safetensors_finish renames it to `path`.
 * Ownership: the header is used only during the call.
 */
rn_status rn_safetensors_create(rn_err *err, const char *path, const rn_safetensors_header *header,
                                rn_safetensors_writer **out);

/** Appends bytes of the tensors, which must follow the order of the header. */
rn_status rn_safetensors_append(rn_err *err, rn_safetensors_writer *writer, const void *data,
                                size_t bytes);

/** Renames the file to its final name, durably; all bytes that the header declares must have been
 * appended. */
rn_status rn_safetensors_finish(rn_err *err, rn_safetensors_writer **writer);

/** Discards an unfinished file and removes what was written; accepts NULL. */
void rn_safetensors_abandon(rn_safetensors_writer **writer);

#endif
