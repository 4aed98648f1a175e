/**
 * Point-to-point transfer between pipeline stages: sends activations to the next stage and their
 * gradients to the previous stage.
 *
 * Sends and receives are nonblocking and use the caller's buffers; a receive that is posted early
 * lets its sender proceed without waiting. Messages match by direction and by the index of the unit
 * of work (one segment of one micro-batch).
 */
#ifndef RN_COMM_PIPELINE_PIPELINE_P2P_H
#define RN_COMM_PIPELINE_PIPELINE_P2P_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"

typedef struct rn_pipeline_p2p rn_pipeline_p2p;

/** A message in flight, or MPI_REQUEST_NULL. */
typedef struct rn_pipeline_p2p_message {
  MPI_Request request;
} rn_pipeline_p2p_message;

#define RN_PIPELINE_P2P_NO_MESSAGE ((rn_pipeline_p2p_message){MPI_REQUEST_NULL})

/** The two directions of a pipeline. */
typedef enum {
  RN_PIPELINE_P2P_ROWS,     /* activations: to the next stage */
  RN_PIPELINE_P2P_GRADIENTS /* gradients of activations: to the previous stage */
} rn_pipeline_p2p_direction;

/** Identifies a message: sender and receiver pass the same envelope. */
typedef struct rn_pipeline_p2p_envelope {
  rn_pipeline_p2p_direction direction;
  int unit;
} rn_pipeline_p2p_envelope;

/**
 * Creates the transfers of rows of `width` floats.
 *
 * Collective: over the grid, which outlives the object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_pipeline_p2p_create(rn_err *err, const rn_grid *grid, int width,
                                 rn_pipeline_p2p **out);
/**
 * Frees the object; accepts NULL. Collective: over the stages of the pipeline; no message may be in
 * flight. Errors: none.
 */
void rn_pipeline_p2p_destroy(rn_pipeline_p2p **p2p);

/**
 * Lets `thread` progress messages while the main thread computes; NULL: no thread. Not collective.
 * Errors: none.
 */
void rn_pipeline_p2p_use_thread(rn_pipeline_p2p *p2p, rn_comm_thread *thread);

/** True if this rank's stage is the first (is_first) or the last (is_last) of the pipeline. Not
 * collective. Errors: none. */
bool rn_pipeline_p2p_is_first(const rn_pipeline_p2p *p2p);
bool rn_pipeline_p2p_is_last(const rn_pipeline_p2p *p2p);

/**
 * Starts sending rows [count, width] to the neighbour in the envelope's direction.
 *
 * Collective: with the neighbour's rn_pipeline_p2p_receive.
 * Ownership:  the rows must not change until rn_pipeline_p2p_wait returns.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_pipeline_p2p_send(rn_err *err, rn_pipeline_p2p *p2p, rn_pipeline_p2p_envelope envelope,
                               int64_t count, const float *rows, rn_pipeline_p2p_message *out);

/**
 * Posts the receive of rows [count, width]; they are valid once rn_pipeline_p2p_wait returns.
 *
 * Collective: with the neighbour's rn_pipeline_p2p_send.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_pipeline_p2p_receive(rn_err *err, rn_pipeline_p2p *p2p,
                                  rn_pipeline_p2p_envelope envelope, int64_t count, float *rows,
                                  rn_pipeline_p2p_message *out);

/**
 * Sets *complete to whether the message has been sent or received; to true for
 * RN_PIPELINE_P2P_NO_MESSAGE. Does not wait. Not collective. Errors: RN_ERR_MPI.
 */
rn_status rn_pipeline_p2p_test(rn_err *err, rn_pipeline_p2p *p2p, rn_pipeline_p2p_message *message,
                               bool *complete);

/**
 * Waits until the message has been sent or received; returns immediately for
 * RN_PIPELINE_P2P_NO_MESSAGE.
 *
 * Collective: with the neighbour's matching send or receive.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_pipeline_p2p_wait(rn_err *err, rn_pipeline_p2p *p2p, rn_pipeline_p2p_message *message);

/**
 * Sums values [count] over the first and the last stage; on return, both stages have the sums. Used
 * for the gradient of the tied embedding, which both stages hold. Does nothing on other stages or
 * with a single stage.
 *
 * Collective: over the first and the last stage.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_tied_embedding_reduce(rn_err *err, rn_pipeline_p2p *p2p, int64_t count, float *values);

/** Like rn_tied_embedding_reduce, for integers. Collective and Errors: as for
 * rn_tied_embedding_reduce. */
rn_status rn_tied_embedding_reduce_exact(rn_err *err, rn_pipeline_p2p *p2p, int64_t count,
                                         int64_t *values);

#endif
