/**
 * Writes one rank's slices of a checkpoint into a file that several ranks of a node share. A
 * separate thread writes. If the slices are copied first, training continues while the thread
 * writes the copy.
 */
#ifndef RN_TRAINER_CHECKPOINT_SAVE_WRITER_H
#define RN_TRAINER_CHECKPOINT_SAVE_WRITER_H

#include <stdbool.h>

#include "comm/world/write_token.h"
#include "data/checkpoint/ckpt.h"

typedef struct rn_save_writer rn_save_writer;

/**
 * Creates a writer. Every save first copies its slices into a buffer of `copy_elements` elements,
 * the maximum total size of the slices. If `copy_elements` is 0, the writer reads the slices in
 * place, and the caller must not change them until the save is finished.
 *
 * Ownership: `write_token` must outlive the writer; no other object may use it.
 * Errors:    RN_ERR_MEMORY, on this rank only.
 */
rn_status rn_save_writer_create(rn_err *err, rn_write_token *write_token, int64_t copy_elements,
                                rn_save_writer **out);

/** Joins the thread; does not remove an incomplete file. Accepts NULL. */
void rn_save_writer_destroy(rn_save_writer **writer);

/**
 * Starts writing slices [count] below `stage_path`, compressed at `level`. If no thread can be
 * created, writes them before it returns. If the slices are copied, slices[i].data points into the
 * copy on return.
 *
 * Ownership: slices must stay valid until rn_save_writer_finish.
 */
void rn_save_writer_start(rn_save_writer *writer, rn_path stage_path, int level,
                          rn_ckpt_slice *slices, int count);

/** True from rn_save_writer_start until the slices are written. */
bool rn_save_writer_is_writing(const rn_save_writer *writer);

/**
 * Waits for the thread and returns its status and report.
 *
 * Ownership: the caller frees report->bytes, on failure too.
 * Errors:    those of rn_ckpt_write_file, and of the previous ranks that write into the same file.
 */
rn_status rn_save_writer_finish(rn_err *err, rn_save_writer *writer, rn_ckpt_report *report);

/** Returns the time, in seconds, that the last rn_save_writer_start spent on copying the slices; 0
 * if they are not copied. */
double rn_save_writer_copy_s(const rn_save_writer *writer);

/** Returns the run time of the thread for the last save, in seconds, including the wait for
 * previous ranks; 0 while the thread writes. */
double rn_save_writer_write_s(const rn_save_writer *writer);

#endif
