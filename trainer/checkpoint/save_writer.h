/**
 * Writes one rank's slices of a checkpoint into a file that the ranks of a node share, in a thread
 * of its own. With a copy of the slices, training goes on meanwhile.
 */
#ifndef RN_TRAINER_CHECKPOINT_SAVE_WRITER_H
#define RN_TRAINER_CHECKPOINT_SAVE_WRITER_H

#include <stdbool.h>

#include "comm/world/write_token.h"
#include "data/checkpoint/ckpt.h"

typedef struct rn_save_writer rn_save_writer;

/** What one save has cost on this rank, in seconds. */
typedef struct rn_save_times {
  double copy_s;  /* copying the slices; 0 without a copy */
  double write_s; /* in the thread, with the wait for the ranks before it */
} rn_save_times;

/**
 * Creates a writer that first copies up to `copy_elements` elements; 0: it writes from where they
 * are, so the caller must not change them until it is done.
 *
 * Ownership: `write_token` must outlive the writer, which uses it exclusively.
 * Errors:    RN_ERR_MEMORY, on this rank only.
 */
rn_status rn_save_writer_create(rn_err *err, rn_write_token *write_token, int64_t copy_elements,
                                rn_save_writer **out);

/** Joins the thread; a file that is not complete stays. Accepts NULL. */
void rn_save_writer_destroy(rn_save_writer **writer);

/**
 * Starts to write slices [count] below `stage_path`, compressed at `level`. If no thread can be
 * created, returns when all is written. With a copy, slices[i].data points into it afterwards.
 *
 * Ownership: slices must stay until rn_save_writer_finish.
 */
void rn_save_writer_start(rn_save_writer *writer, rn_path stage_path, int level,
                          rn_ckpt_slice *slices, int count);

/** True until the slices are written; also false before the first start. */
bool rn_save_writer_is_writing(const rn_save_writer *writer);

/**
 * Waits for the thread and returns its status and report.
 *
 * Ownership: the caller frees report->bytes, also after a failure.
 * Errors:    those of rn_ckpt_write_file and of the ranks that write into the file before this one.
 */
rn_status rn_save_writer_finish(rn_err *err, rn_save_writer *writer, rn_ckpt_report *report);

/** Times of the last save. */
rn_save_times rn_save_writer_times(const rn_save_writer *writer);

#endif
