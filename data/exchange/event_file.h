/**
 * Writes TensorBoard event files, which hold scalars by step.
 *
 * A file is a sequence of records: u64 length, u32 masked CRC-32C of the length, the bytes of an
 * Event (event.proto), u32 masked CRC-32C of these bytes. All integers are little-endian. The mask
 * of a checksum c is (c >> 15 | c << 17) + 0xa282ead8. Readers read the files of a folder in the
 * order of their names.
 *
 * Source: TensorFlow, tensorflow/core/lib/io/record_writer.h and util/event.proto.
 */
#ifndef RN_DATA_EXCHANGE_EVENT_FILE_H
#define RN_DATA_EXCHANGE_EVENT_FILE_H

#include "data/file/journal.h"

/** A named value that is recorded for a step. */
typedef struct rn_scalar {
  const char *name;
  double value;
} rn_scalar;

/** Zero-initialise it. */
typedef struct rn_event_file {
  rn_journal file;
} rn_event_file;

/**
 * Creates `folder`/events.out.tfevents.<time>.<host>.<process>.0, whose name sorts after those of
 * all event files in the folder, even if the clock was set back. Its first records make readers
 * discard the values of `first_step` and later steps in earlier files. If these records cannot be
 * written yet, they are written before the next record.
 *
 * Errors: RN_ERR_IO if the file cannot be created, naming it; RN_ERR_MEMORY.
 */
rn_status rn_event_file_create(rn_err *err, const char *folder, int64_t first_step,
                               rn_event_file *out);

/**
 * Appends the scalars [count] of a step, in single precision, as the format requires. NaN and
 * infinities are written too; TensorBoard marks them.
 *
 * Errors: RN_ERR_IO: the record stays pending and is written before the next one; RN_ERR_MEMORY:
 *         the record is lost.
 */
rn_status rn_event_file_add(rn_err *err, rn_event_file *events, int64_t step,
                            const rn_scalar *scalars, int count);

/** Tries to write the pending records, and closes the file. Accepts a zeroed object. */
rn_status rn_event_file_close(rn_err *err, rn_event_file *events);

#endif
