/** What all writers of a checkpoint reported, made one manifest; for data/checkpoint/ckpt_commit.c.
 */
#ifndef RN_DATA_CHECKPOINT_CKPT_MERGE_H
#define RN_DATA_CHECKPOINT_CKPT_MERGE_H

#include "data/checkpoint/ckpt.h"

/** A manifest whose tables point into the reports that are kept beside it. */
typedef struct rn_ckpt_merge {
  Retnet__Manifest manifest;
  Retnet__PartReport **report;
  int count;
  Retnet__Part *part;    /* files: what their writers wrote, put together */
  Retnet__Slice **slice; /* of all of them */
} rn_ckpt_merge;

/**
 * `head` with the tensors and parts of all reports.
 *
 * Ownership: rn_ckpt_merge_destroy; `head` and what it points to stay the caller's.
 * Errors:    RN_ERR_MISMATCH when reports contradict each other or the head's list of tensors, or
 *            a tensor is not covered exactly once.
 */
rn_status rn_ckpt_merge_create(rn_err *err, const char *where, const Retnet__Manifest *head,
                               const rn_ckpt_report *reports, int count, rn_ckpt_merge *out);
void rn_ckpt_merge_destroy(rn_ckpt_merge *merge);

#endif
