/**
 * Checkpoints: written in parts by any number of writers, read in any ranges by any readers.
 *
 * RUN/checkpoints/step-00000100/ holds parts (zstd frames of tensor slices) and a manifest; the
 * schema is proto/schema/checkpoint.proto. A save is: rn_ckpt_stage_dir, rn_ckpt_write_part by
 * every writer, rn_ckpt_commit by one; then rn_ckpt_point_latest and rn_ckpt_prune, whose failure
 * does not change that the checkpoint is on disk. Until the rename in commit nothing that was there
 * is touched, and a save that failed anywhere leaves a .tmp folder that everyone ignores. A damaged
 * checkpoint gives RN_ERR_FORMAT or RN_ERR_NOT_FOUND; other failures do not speak of it.
 */
#ifndef RN_DATA_CHECKPOINT_CKPT_H
#define RN_DATA_CHECKPOINT_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/file/file.h"
#include "proto/base/status.h"
#include "proto/schema/checkpoint.pb-c.h"

enum {
  RN_CKPT_DIMS = 4,
  RN_CKPT_FRAME_ELEMENTS = 2 * 1024 * 1024, /* 8 MiB: the most that one frame holds */
};

/** An open checkpoint; for one thread at a time. */
typedef struct rn_ckpt rn_ckpt;

/** Elements [first, first + count) of a tensor, row-major, to be written. */
typedef struct rn_ckpt_slice {
  Retnet__TensorKind kind;
  const char *name;
  int dims;
  int64_t shape[RN_CKPT_DIMS]; /* of the whole tensor */
  int64_t first, count;
  const float *data; /* [count] */
} rn_ckpt_slice;

/** A packed PartReport: bytes that may travel to another process. */
typedef struct rn_ckpt_report {
  uint8_t *bytes;
  size_t size;
  int64_t stored_bytes; /* what was written; known to its writer */
} rn_ckpt_report;

/* ---- saving ---- */

/**
 * Checks, before a run starts, that it will be able to save: free space for two checkpoints of
 * `bytes`, and a small file that can be written and read back.
 *
 * Errors: RN_ERR_IO naming the directory, what is missing and what to do.
 */
rn_status rn_ckpt_preflight(rn_err *err, const char *run_dir, int64_t bytes);

/** Makes an empty folder for the parts of a step, removing what an earlier try left in it. */
rn_status rn_ckpt_stage_dir(rn_err *err, const char *run_dir, int64_t step);

/** That folder. */
rn_path rn_ckpt_stage_path(const char *run_dir, int64_t step);

/** Where a writer begins: in the file of that number, any from 0, after so many bytes of others. */
typedef struct rn_ckpt_location {
  int part;
  int64_t at; /* 0: the file is made; else it ends there */
} rn_ckpt_location;

/**
 * Writes a part, or goes on with one, in the staging folder: slices compressed at zstd `level`,
 * then fsync.
 *
 * A part has one writer at a time; the next begins where it ended. No slices: no file.
 * Ownership: the caller frees out->bytes.
 * Errors:    RN_ERR_IO; RN_ERR_MISMATCH when the file does not end at place.at.
 */
rn_status rn_ckpt_write_part(rn_err *err, const char *stage_path, rn_ckpt_location place,
                             const rn_ckpt_slice *slices, int count, int level,
                             rn_ckpt_report *out);

/**
 * Writes the manifest and gives the staged folder its name; one process, after all parts.
 *
 * `head` holds all but tensors and parts. If it lists tensors, exactly these must be there. If the
 * step exists already, the new folder takes its place in one move.
 * Errors: RN_ERR_MISMATCH when the slices do not cover every tensor exactly once.
 */
rn_status rn_ckpt_commit(rn_err *err, const char *run_dir, const Retnet__Manifest *head,
                         const rn_ckpt_report *reports, int count);

/**
 * Writes the name of a committed checkpoint into `latest`, a hint, and removes what an older one of
 * the same step has left in its staging folder.
 */
rn_status rn_ckpt_point_latest(rn_err *err, const char *run_dir, int64_t step);

/**
 * Removes what is no longer needed: all but the newest `keep_last` (0: all stay) and those whose
 * step is a multiple of `keep_every` (0: none); .bad and .tmp folders that a good checkpoint of the
 * same or a later step has made useless. Only whole checkpoints count as kept.
 */
rn_status rn_ckpt_prune(rn_err *err, const char *run_dir, int keep_last, int64_t keep_every);

/* ---- finding ---- */

/** What a folder's name says about it: step-N, step-N.bad, step-N.tmp. */
typedef enum { RN_CKPT_WHOLE, RN_CKPT_BAD, RN_CKPT_STAGED } rn_ckpt_state;

/** One folder of RUN/checkpoints. */
typedef struct rn_ckpt_entry {
  int64_t step;
  rn_ckpt_state state;
  rn_path path;
} rn_ckpt_entry;

/**
 * The checkpoints of a run, by step; none, when there is no such folder.
 *
 * Ownership: the caller frees *out.
 */
rn_status rn_ckpt_list(rn_err *err, const char *run_dir, rn_ckpt_entry **out, int *count);

/** Whether a path names one checkpoint, not a run: by its name, or by a manifest in it. */
bool rn_ckpt_is_step_folder(const char *path);

/** Renames a checkpoint to step-N.bad, replacing an older one. */
rn_status rn_ckpt_mark_bad(rn_err *err, const char *step_path);

/**
 * How rn_ckpt_find reports what it passes by, one line without newline; and how a step folder is
 * opened and its sums are verified: `open` is NULL where the caller does it alone.
 */
typedef struct rn_ckpt_notes {
  void (*tell)(void *context, const char *line);
  void *context;
  rn_status (*open)(void *context, rn_err *err, const char *path, rn_ckpt **out);
} rn_ckpt_notes;

/**
 * Opens the checkpoint at a path: a step folder, or the newest good one of a run directory.
 *
 * All sums are verified. In a run directory bad ones are told to `notes` and passed by. Those whose
 * content was read and is wrong are renamed step-N.bad when `mark_bad` and a good one was found;
 * one with a file missing keeps its name. Beside a live run, whose owner removes old checkpoints,
 * one that goes away while it is read is not told of: the run is listed anew. Errors:
 * RN_ERR_NOT_FOUND when there is none; RN_ERR_FORMAT when all are damaged; the step folder's own
 * damage.
 */
rn_status rn_ckpt_find(rn_err *err, const char *path, bool mark_bad, const rn_ckpt_notes *notes,
                       rn_ckpt **out);

/* ---- reading ---- */

/** Opens a step folder and checks its manifest: sum, places, that slices cover every tensor. */
rn_status rn_ckpt_open(rn_err *err, const char *step_path, rn_ckpt **out);

/** Takes NULL too; clears the pointer. */
void rn_ckpt_close(rn_ckpt **ckpt);

const Retnet__Manifest *rn_ckpt_manifest(const rn_ckpt *ckpt);
/**
 * Records why `path` gives no checkpoint (it is absent, a file, a folder of checkpoints instead of
 * the run's directory, a checkpoint where a run is needed, or a folder without any).
 * Errors: always RN_ERR_NOT_FOUND, or RN_ERR_IO where it cannot be looked at.
 */
rn_status rn_ckpt_none(rn_err *err, const char *path);

const char *rn_ckpt_path(const rn_ckpt *ckpt);

/** What the keys came to; in older checkpoints the keys as they were given. */
static inline const Retnet__Config *rn_ckpt_config(const Retnet__Manifest *manifest) {
  return manifest->effective != NULL ? manifest->effective : manifest->config;
}

/** The tensor, or NULL; and its number of elements. */
const Retnet__Tensor *rn_ckpt_tensor(const rn_ckpt *ckpt, Retnet__TensorKind kind,
                                     const char *name);
int64_t rn_ckpt_elements(const Retnet__Tensor *tensor);

/**
 * Elements [first, first + count) of a tensor, whatever slices they lie in; sums are checked.
 *
 * Errors: RN_ERR_MISMATCH for a tensor or range that it does not have.
 */
rn_status rn_ckpt_read(rn_err *err, rn_ckpt *ckpt, Retnet__TensorKind kind, const char *name,
                       int64_t first, int64_t count, float *out);

/**
 * Checks size, sums and frames of all parts, or one of `share_count` equal shares of the frames, so
 * that several readers divide the work.
 */
rn_status rn_ckpt_check(rn_err *err, rn_ckpt *ckpt, int share, int share_count);

/** As rn_ckpt_check of all parts, and nothing else lies in the folder. */
rn_status rn_ckpt_verify(rn_err *err, rn_ckpt *ckpt);

#endif
