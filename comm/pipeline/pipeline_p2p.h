/**
 * Rows between the stages of a pipeline: activations to the next, their gradients to the one
 * before.
 *
 * Everything is started and completed apart, from the caller's own buffers: whoever posts its
 * receives ahead never makes a sender wait. Messages find each other by the number of their unit.
 */
#ifndef RN_COMM_PIPELINE_PIPELINE_P2P_H
#define RN_COMM_PIPELINE_PIPELINE_P2P_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"

typedef struct rn_pipeline_p2p rn_pipeline_p2p;

/** A message under way; null where nothing is. */
typedef struct rn_pipeline_p2p_message {
  MPI_Request request;
} rn_pipeline_p2p_message;

#define RN_PIPELINE_P2P_NOTHING ((rn_pipeline_p2p_message){MPI_REQUEST_NULL})

/** The two directions of a pipeline. */
typedef enum {
  RN_PIPELINE_P2P_ROWS,     /* activations: from a stage to the next */
  RN_PIPELINE_P2P_GRADIENTS /* from a stage to the one before */
} rn_pipeline_p2p_direction;

/** For rows of `width` floats. Collective: over the grid, which outlives the relay. */
rn_status rn_pipeline_p2p_create(rn_err *err, const rn_grid *grid, int width,
                                 rn_pipeline_p2p **out);
void rn_pipeline_p2p_destroy(rn_pipeline_p2p **p2p);

/** From now on `thread` moves messages that are under way while the main thread computes. */
void rn_pipeline_p2p_use_thread(rn_pipeline_p2p *p2p, rn_comm_thread *thread);

/** Whether this rank's stage has none before it, none behind it. */
bool rn_pipeline_p2p_is_first(const rn_pipeline_p2p *p2p);
bool rn_pipeline_p2p_is_last(const rn_pipeline_p2p *p2p);

/**
 * Starts sending a unit's rows [count, width] on in their direction. Collective:
 * with the neighbour's receive. Ownership: the rows stay untouched until rn_pipeline_p2p_wait.
 */
rn_status rn_pipeline_p2p_send(rn_err *err, rn_pipeline_p2p *p2p,
                               rn_pipeline_p2p_direction direction, int unit, int64_t count,
                               const float *rows, rn_pipeline_p2p_message *out);

/** Posts the receive of a unit's rows [count, width]; they are there after rn_pipeline_p2p_wait. */
rn_status rn_pipeline_p2p_receive(rn_err *err, rn_pipeline_p2p *p2p,
                                  rn_pipeline_p2p_direction direction, int unit, int64_t count,
                                  float *rows, rn_pipeline_p2p_message *out);

/** Completes a message, if there is one. */
rn_status rn_pipeline_p2p_wait(rn_err *err, rn_pipeline_p2p *p2p, rn_pipeline_p2p_message *message);

/** Seconds spent in rn_pipeline_p2p_wait, and bytes sent, since create. */
double rn_pipeline_p2p_wait_s(const rn_pipeline_p2p *p2p);
int64_t rn_pipeline_p2p_bytes_sent(const rn_pipeline_p2p *p2p);

/**
 * values [count] of the first and of the last stage become their sum, first + last, on both: the
 * gradient of a weight that both hold. Other stages have nothing to do.
 *
 * Collective: over the first and the last stage of a pipeline of at least two.
 * Errors:     RN_ERR_MPI, RN_ERR_MEMORY.
 */
rn_status rn_tied_embedding_reduce(rn_err *err, rn_pipeline_p2p *p2p, int64_t count, float *values);

/** The same for integers. */
rn_status rn_tied_embedding_reduce_exact(rn_err *err, rn_pipeline_p2p *p2p, int64_t count,
                                         int64_t *values);

#endif
