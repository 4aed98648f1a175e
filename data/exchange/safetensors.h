/**
 * Safetensors files: how weights travel to and from other programs.
 *
 * A file is an 8-byte little-endian length, that many bytes of JSON header, then the tensors' raw
 * little-endian bytes. Reading trusts nothing: lengths are capped, types and shapes are held
 * against byte ranges, and the ranges must fill the file without holes or overlaps.
 */
#ifndef RN_DATA_EXCHANGE_SAFETENSORS_H
#define RN_DATA_EXCHANGE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/* name in files, bytes of an element */
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

/** A tensor's name, type, shape (row-major) and its bytes' place in the file. */
typedef struct rn_safetensors_tensor {
  const char *name;
  rn_safetensors_type type;
  int dims;
  int64_t shape[RN_SAFETENSORS_DIMS];
  int64_t count; /* elements; 1 without dimensions */
  int64_t offset;
} rn_safetensors_tensor;

/** One string of the header's __metadata__. */
typedef struct rn_safetensors_note {
  const char *key;
  const char *value;
} rn_safetensors_note;

typedef struct rn_safetensors rn_safetensors;
typedef struct rn_safetensors_writer rn_safetensors_writer;

/** The type's name in files, and the bytes of one element. */
const char *rn_safetensors_type_name(rn_safetensors_type type);
size_t rn_safetensors_type_bytes(rn_safetensors_type type);

/**
 * Opens a file and checks its header.
 *
 * Ownership: the caller closes; names and tensors live until then.
 * Errors:    RN_ERR_FORMAT naming the file and the tensor; RN_ERR_NOT_FOUND, RN_ERR_IO.
 */
rn_status rn_safetensors_open(rn_err *err, const char *path, rn_safetensors **out);

/** Closes and clears the pointer; takes NULL too. */
void rn_safetensors_close(rn_safetensors **file);

/** The tensors, ordered by name. */
int rn_safetensors_count(const rn_safetensors *file);
const rn_safetensors_tensor *rn_safetensors_at(const rn_safetensors *file, int index);

/** The tensor of a name, or NULL. */
const rn_safetensors_tensor *rn_safetensors_find(const rn_safetensors *file, const char *name);

/** A string of __metadata__, or NULL. */
const char *rn_safetensors_metadata(const rn_safetensors *file, const char *key);

/** Elements [first, first + count) as they are stored; `out` has room for them. */
rn_status rn_safetensors_read(rn_err *err, const rn_safetensors *file,
                              const rn_safetensors_tensor *tensor, int64_t first, int64_t count,
                              void *out);

/**
 * Elements [first, first + count) as doubles.
 *
 * Errors: RN_ERR_FORMAT for a type other than F32, F64, I64, I32.
 */
rn_status rn_safetensors_read_f64(rn_err *err, const rn_safetensors *file,
                                  const rn_safetensors_tensor *tensor, int64_t first, int64_t count,
                                  double *out);

/**
 * Starts `path` with a header for these tensors (name, type, dims, shape are read), in this order.
 *
 * The file appears under its name only when it is finished.
 * Ownership: `tensors` and `notes` are used during the call only.
 */
rn_status rn_safetensors_create(rn_err *err, const char *path, const rn_safetensors_tensor *tensors,
                                int count, const rn_safetensors_note *notes, int note_count,
                                rn_safetensors_writer **out);

/** Appends bytes; the tensors follow each other in the order of create. */
rn_status rn_safetensors_append(rn_err *err, rn_safetensors_writer *writer, const void *data,
                                size_t bytes);

/** Makes the file durable under its name; all bytes that the header declares must be there. */
rn_status rn_safetensors_finish(rn_err *err, rn_safetensors_writer **writer);

/** Gives up an unfinished file and removes what was written; takes NULL too. */
void rn_safetensors_abandon(rn_safetensors_writer **writer);

#endif
