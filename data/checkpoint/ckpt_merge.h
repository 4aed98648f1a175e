/** Merges the reports of all writers into one manifest; for data/checkpoint/ckpt_commit.c. */
#ifndef RN_DATA_CHECKPOINT_CKPT_MERGE_H
#define RN_DATA_CHECKPOINT_CKPT_MERGE_H

#include "data/checkpoint/ckpt.h"

/** A merged manifest, and the unpacked reports into which its tables point. */
typedef struct rn_ckpt_merge {
  Retnet__Manifest manifest;
  Retnet__FileReport **report;
  int count;
  Retnet__CheckpointFile *file; /* one for each file, merged from its writers' reports */
  Retnet__Slice **slice;        /* the slices of all files */
} rn_ckpt_merge;

/**
 * Copies `head` and adds the tensors and files of all reports.
 *
 * Ownership: rn_ckpt_merge_destroy; the caller keeps `head` and what it points to.
 * Errors:    RN_ERR_MISMATCH if reports contradict each other or the head's list of tensors, or
 *            if a tensor is not covered exactly once.
 */
rn_status rn_ckpt_merge_create(rn_err *err, const char *where, const Retnet__Manifest *head,
                               const rn_ckpt_report *reports, int count, rn_ckpt_merge *out);
void rn_ckpt_merge_destroy(rn_ckpt_merge *merge);

#endif
