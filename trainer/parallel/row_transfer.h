/**
 * Transfers rows or their gradients between neighbouring pipeline stages. The rows of a slot are
 * the message buffer, so they are mapped while the message is in flight.
 */
#ifndef RN_TRAINER_PARALLEL_ROW_TRANSFER_H
#define RN_TRAINER_PARALLEL_ROW_TRANSFER_H

#include "comm/pipeline/pipeline_p2p.h"
#include "model/stage/stage.h"

typedef struct rn_row_transfer {
  rn_pipeline_p2p_direction direction; /* rows, or their gradients */
  rn_access access;                    /* READ: a send; WRITE: a receive */
  rn_stage_region region;              /* mapped while the message is in flight */
  int width;                           /* D */
  bool in_flight;
  rn_pipeline_p2p_message message;
} rn_row_transfer;

/** Returns a transfer for one slot; no message is in flight yet. */
rn_row_transfer rn_row_transfer_make(rn_stage_slot *slot, rn_pipeline_p2p_direction direction,
                                     rn_access access, int width);

/**
 * Maps the first `rows` rows and posts the message of a unit. On entry the transfer must not be in
 * flight.
 * Collective: the neighbouring stage must start the matching transfer. Errors: RN_ERR_MPI; those of
 * rn_stage_map.
 */
rn_status rn_row_transfer_start(rn_err *err, rn_row_transfer *transfer, rn_pipeline_p2p *p2p,
                                rn_stage *stage, int unit, int64_t rows);

/** Sets *complete to true if no message is in flight or the message is complete; does not wait.
 * Errors: RN_ERR_MPI. */
rn_status rn_row_transfer_test(rn_err *err, rn_row_transfer *transfer, rn_pipeline_p2p *p2p,
                               bool *complete);

/**
 * If the message is in flight, waits for it and unmaps the rows. Errors: those of
 * rn_row_transfer_start.
 */
rn_status rn_row_transfer_wait(rn_err *err, rn_row_transfer *transfer, rn_pipeline_p2p *p2p,
                               rn_stage *stage);

#endif
