/**
 * Completes a scan eagerly: as soon as the state before the segment has arrived, ends the scan and
 * computes the state before each chunk of the segment.
 *
 * This matters in reproducible mode, where the next rank waits for the state after the segment.
 * While the scan is in flight, other computations poll the field `port`. A poll receives the state
 * if it has arrived, and in reproducible mode also computes the states. rn_eager_completion_finish
 * does whatever is left. Results do not depend on when the scan is completed.
 */
#ifndef RN_MODEL_RETENTION_EAGER_COMPLETION_H
#define RN_MODEL_RETENTION_EAGER_COMPLETION_H

#include <stdbool.h>

#include "model/ops/weight_queue.h"
#include "model/retention/retention.h"

typedef struct rn_eager_completion {
  rn_scan_port port; /* port for other work to poll; its poll() may receive the state */
  rn_scan_port *scan;
  rn_scan_direction direction;
  const rn_retention *retention;
  const rn_retention_view *view;
  rn_segment_states states;
  bool arrived, done; /* arrived: end() has been called; done: chunk states are computed */
  rn_status status;   /* status of a completion inside poll(); err holds the cause of an error */
  rn_err err;
} rn_eager_completion;

/**
 * Starts the eager completion of a scan. The caller must call the scan's begin() first; the
 * completion calls end() and publish(). `states` are the arguments of rn_retention_propagate;
 * states.state is overwritten.
 *
 * Ownership: all arguments stay valid until rn_eager_completion_finish; *out must not move.
 */
void rn_eager_completion_start(rn_eager_completion *out, rn_scan_port *scan,
                               rn_scan_direction direction, const rn_retention *retention,
                               const rn_retention_view *view, rn_segment_states states);

/** Computes deferred weight gradients of `queue` with all threads, until the state arrives or no
 * gradient is left. Does nothing if `queue` is NULL. */
void rn_eager_completion_run_weights(rn_eager_completion *completion, rn_weight_queue *queue);

/** Waits for the state and propagates it to the chunks; skips what polls have already done. Call
 * outside parallel regions. Errors: those of the scan. */
rn_status rn_eager_completion_finish(rn_err *err, rn_eager_completion *completion);

#endif
