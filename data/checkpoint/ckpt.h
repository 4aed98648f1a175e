/**
 * Checkpoints of a run. Any number of writers write files in parallel; a reader can read any range
 * of a tensor.
 *
 * RUN/checkpoints/step-00000100/ holds checkpoint files (part-NNNNN.zst: zstd frames of tensor
 * slices) and a manifest; the schema is proto/schema/checkpoint.proto. To save, one process calls
 * rn_ckpt_stage_dir, every writer calls rn_ckpt_write_file, and one process calls rn_ckpt_commit,
 * then rn_ckpt_point_latest and rn_ckpt_prune. A failure of the last two does not invalidate the
 * checkpoint. No existing checkpoint changes until the rename in rn_ckpt_commit; a failed save may
 * leave a .tmp folder, which readers ignore. RN_ERR_FORMAT and RN_ERR_NOT_FOUND mean that a
 * checkpoint is damaged; other errors do not.
 */
#ifndef RN_DATA_CHECKPOINT_CKPT_H
#define RN_DATA_CHECKPOINT_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/file/file.h"
#include "proto/base/range.h"
#include "proto/base/status.h"
#include "proto/schema/checkpoint.pb-c.h"

enum {
  RN_CKPT_DIMS = 4,
  RN_CKPT_FRAME_ELEMENTS = 2 * 1024 * 1024, /* maximum elements of one frame: 8 MiB */
};

/** An open checkpoint; not thread-safe. */
typedef struct rn_ckpt rn_ckpt;

/** A slice to write: elements [first, first + count) of a tensor in row-major order. */
typedef struct rn_ckpt_slice {
  Retnet__TensorKind kind;
  const char *name;
  int dims;
  int64_t shape[RN_CKPT_DIMS]; /* shape of the whole tensor */
  int64_t first, count;
  const float *data; /* [count] */
} rn_ckpt_slice;

/** A packed FileReport, as bytes that can be sent to another process. */
typedef struct rn_ckpt_report {
  uint8_t *bytes;
  size_t size;
  int64_t stored_bytes; /* bytes written; valid only in the writing process */
} rn_ckpt_report;

/* ---- saving ---- */

/** How many checkpoints a run keeps: the newest `last` (0: all) and those whose step is a multiple
 * of `every` (0: none). */
typedef struct rn_ckpt_keep {
  int last;
  int64_t every;
} rn_ckpt_keep;

/**
 * Checks that a run can save its checkpoints: that there is space for two checkpoints of `bytes`
 * bytes each, and that a small file can be written and read back. Called before the run starts, by
 * the owner of the run. Folders that the next save removes before it writes count as free; those
 * that are removed after it count as free for the second checkpoint.
 *
 * Errors: RN_ERR_IO naming the directory, what is missing and what to do.
 */
rn_status rn_ckpt_preflight(rn_err *err, const char *run_dir, int64_t bytes, rn_ckpt_keep keep);

/** Creates an empty staging folder for a step. First removes the staging folders that failed or
 * killed saves left; one of another step that also has a checkpoint stays until rn_ckpt_prune,
 * because it may hold the checkpoint that was replaced. */
rn_status rn_ckpt_stage_dir(rn_err *err, const char *run_dir, int64_t step);

/** Returns the path of the staging folder of a step. */
rn_path rn_ckpt_stage_path(const char *run_dir, int64_t step);

/** The destination of a writer: file part-<index>.zst in the staging folder, from `offset` on. */
typedef struct rn_ckpt_output {
  const char *stage_path;
  int index;      /* >= 0 */
  int64_t offset; /* in bytes; 0: create the file; else the file must have exactly this size */
  int level;      /* zstd compression level */
} rn_ckpt_output;

/**
 * Creates a checkpoint file in the staging folder, or appends to one. Writes the slices,
 * compressed, and calls fsync.
 *
 * A file has one writer at a time; the next writer begins where the previous one ended. If there
 * are no slices, no file is created.
 * Ownership: the caller frees out->bytes.
 * Errors:    RN_ERR_IO; RN_ERR_MISMATCH if the size of the file is not output.offset.
 */
rn_status rn_ckpt_write_file(rn_err *err, rn_ckpt_output output, const rn_ckpt_slice *slices,
                             int count, rn_ckpt_report *out);

/**
 * Writes the manifest and renames the staging folder. One process calls it when all writers have
 * finished.
 *
 * `head` is the manifest without its files. If its list of tensors is not empty, the reports must
 * contain exactly these tensors. If the step already exists, the new folder replaces it in one
 * atomic exchange where the file system supports that. Elsewhere the existing checkpoint is named
 * step-N.old for a moment, in which rn_ckpt_list and rn_ckpt_find find it by that name.
 * Errors: RN_ERR_MISMATCH if the slices do not cover every tensor exactly once.
 */
rn_status rn_ckpt_commit(rn_err *err, const char *run_dir, const Retnet__Manifest *head,
                         const rn_ckpt_report *reports, int count);

/** Like rn_ckpt_commit, for a checkpoint outside a run. `staged` is the folder that holds its
 * files, and `folder` is its final path, which must not exist. */
rn_status rn_ckpt_commit_folder(rn_err *err, const char *staged, const char *folder,
                                const Retnet__Manifest *head, const rn_ckpt_report *reports,
                                int count);

/**
 * Writes the name of a committed checkpoint to the file `latest`, a hint for users. Also removes
 * the staging folder: if rn_ckpt_commit replaced a checkpoint of the same step, the folder now
 * holds the replaced one.
 */
rn_status rn_ckpt_point_latest(rn_err *err, const char *run_dir, int64_t step);

/**
 * Removes old checkpoints. Keeps the newest `keep_last` (0: all) and, if `keep_every` is not 0,
 * those whose step is a multiple of `keep_every`. Also removes .bad, .tmp and .old folders that are
 * not newer than the newest complete checkpoint. Only complete checkpoints count towards keep_last.
 */
rn_status rn_ckpt_prune(rn_err *err, const char *run_dir, int keep_last, int64_t keep_every);

/**
 * Like rn_ckpt_prune, but reads all bytes of the checkpoints that count towards keep_last, so that
 * the newest good checkpoint is kept even if newer ones have flipped bits. *newest is the step of
 * that checkpoint, also after an error; -1: none was found.
 *
 * Errors: also RN_ERR_FORMAT or RN_ERR_NOT_FOUND naming the newest damaged checkpoint, after
 *         pruning.
 */
rn_status rn_ckpt_prune_verified(rn_err *err, const char *run_dir, int keep_last,
                                 int64_t keep_every, int64_t *newest);

/* ---- finding ---- */

/**
 * State of a checkpoint folder, from its name: step-N (WHOLE), step-N.bad (BAD), step-N.tmp
 * (STAGED), step-N.old (REPLACED). Without a step-N, step-N.old is the checkpoint of the step,
 * because a save was interrupted while it replaced step-N: rn_ckpt_list then lists it as WHOLE.
 */
typedef enum { RN_CKPT_WHOLE, RN_CKPT_BAD, RN_CKPT_STAGED, RN_CKPT_REPLACED } rn_ckpt_state;

/** Returns the path of the folder of a step. */
rn_path rn_ckpt_step_path(const char *run_dir, int64_t step, rn_ckpt_state state);

/** One folder of RUN/checkpoints. */
typedef struct rn_ckpt_entry {
  int64_t step;
  rn_ckpt_state state;
  rn_path path;
} rn_ckpt_entry;

/**
 * Lists the checkpoints of a run, ordered by step; *count is 0 if it has no checkpoints folder.
 *
 * Ownership: the caller frees *out.
 */
rn_status rn_ckpt_list(rn_err *err, const char *run_dir, rn_ckpt_entry **out, int *count);

/** True if `path` is a single checkpoint, not a run directory: it has the name of one or contains a
 * manifest. */
bool rn_ckpt_is_step_folder(const char *path);

/** Renames each step-N.old without a step-N to step-N. Only the owner of the run may call it. */
rn_status rn_ckpt_restore_names(rn_err *err, const char *run_dir);

/** Renames a checkpoint, step-N or step-N.old, to step-N.bad; replaces an older step-N.bad. */
rn_status rn_ckpt_mark_bad(rn_err *err, const char *step_path);

/**
 * Callbacks of rn_ckpt_find. `report` is called with one line, without a newline, for each skipped
 * checkpoint. `open` opens a step folder and verifies its checksums; it can divide this work among
 * several ranks. If it is NULL, the calling process does the work alone.
 */
typedef struct rn_ckpt_notes {
  void (*report)(void *context, const char *line);
  void *context;
  rn_status (*open)(void *context, rn_err *err, const char *path, rn_ckpt **out);
} rn_ckpt_notes;

/**
 * Opens the checkpoint at a path: a step folder, or a run directory, whose newest valid checkpoint
 * is opened.
 *
 * All checksums are verified. In a run directory, damaged checkpoints are reported to `notes` and
 * skipped. If `mark_bad` is set and a valid checkpoint is found, newer checkpoints whose content is
 * wrong are renamed to step-N.bad; a checkpoint with a missing file keeps its name. If a running
 * job removes an old checkpoint while it is being read, the checkpoints of the run are listed again
 * and nothing is reported. Set `mark_bad` only as the owner of the run.
 * Errors: RN_ERR_NOT_FOUND if there is no checkpoint; RN_ERR_FORMAT if all are damaged; RN_ERR_IO
 *         if one cannot be read; for a step folder, the error of opening it.
 */
rn_status rn_ckpt_find(rn_err *err, const char *path, bool mark_bad, const rn_ckpt_notes *notes,
                       rn_ckpt **out);

/* ---- reading ---- */

/** Opens a step folder and checks its manifest: checksum, offsets, coverage of every tensor. */
rn_status rn_ckpt_open(rn_err *err, const char *step_path, rn_ckpt **out);

/** Accepts NULL; clears the pointer. */
void rn_ckpt_close(rn_ckpt **ckpt);

/** Returns the manifest; valid until the checkpoint is closed. */
const Retnet__Manifest *rn_ckpt_manifest(const rn_ckpt *ckpt);

/**
 * Fails with the reason why no checkpoint was found at `path`: it does not exist, is a file, is a
 * folder of checkpoints instead of the run's directory, is a checkpoint although a run is needed,
 * or contains no checkpoint.
 * Errors: always RN_ERR_NOT_FOUND, or RN_ERR_IO if `path` cannot be examined.
 */
rn_status rn_ckpt_none(rn_err *err, const char *path);

/** Returns the path at which the checkpoint was opened. */
const char *rn_ckpt_path(const rn_ckpt *ckpt);

/** Returns the effective configuration or, for older checkpoints, the keys that the user gave. */
static inline const Retnet__Config *rn_ckpt_config(const Retnet__Manifest *manifest) {
  return manifest->effective != NULL ? manifest->effective : manifest->config;
}

/** Returns a tensor of the checkpoint, or NULL if there is none of this kind and name. */
const Retnet__Tensor *rn_ckpt_tensor(const rn_ckpt *ckpt, Retnet__TensorKind kind,
                                     const char *name);

/** Returns the number of elements of a tensor. */
int64_t rn_ckpt_elements(const Retnet__Tensor *tensor);

/**
 * Reads a range of elements of a tensor from all slices that hold them; verifies their checksums.
 *
 * Errors: RN_ERR_MISMATCH if the checkpoint does not have the tensor or the range.
 */
rn_status rn_ckpt_read(rn_err *err, rn_ckpt *ckpt, Retnet__TensorKind kind, const char *name,
                       rn_range range, float *out /* [range] */);

/**
 * Checks the sizes of the files and the checksums and content of their frames. The frames are
 * divided among `readers` callers; this call checks the part with index `reader`.
 */
rn_status rn_ckpt_check(rn_err *err, rn_ckpt *ckpt, int reader, int readers);

/** Compares the sizes of all files with the manifest, without reading the files. Errors: those of
 * rn_ckpt_check. */
rn_status rn_ckpt_check_sizes(rn_err *err, const rn_ckpt *ckpt);

/** Returns the word that describes an unusable checkpoint in messages: "incomplete" if a file is
 * missing (RN_ERR_NOT_FOUND), else "damaged". */
const char *rn_ckpt_fault(rn_status status);

enum { RN_CKPT_SKIPPED_BYTES = RN_PATH_BYTES + RN_ERR_TEXT_BYTES + 64 };

/** Writes the line that says that a checkpoint is unusable and that the previous one is tried. */
void rn_ckpt_skipped_text(const char *path, const rn_err *why, char text[RN_CKPT_SKIPPED_BYTES]);

/** Checks all frames like rn_ckpt_check; also checks that the folder contains no other files. */
rn_status rn_ckpt_verify(rn_err *err, rn_ckpt *ckpt);

#endif
