/**
 * A piece's chunks are folded onto the state before it, at the latest when all else is done.
 *
 * In reproducible mode the ranks behind wait for that fold. So it is made as soon as the state has
 * come, in the middle of work that needs neither: whoever polls the port below in that work may
 * find itself folding. When it happens changes no sum.
 */
#ifndef RN_MODEL_RETENTION_EAGER_COMPLETION_H
#define RN_MODEL_RETENTION_EAGER_COMPLETION_H

#include <stdbool.h>

#include "model/retention/retention.h"

typedef struct rn_eager_completion {
  rn_scan_port port; /* for the work in the meantime: its poll() folds */
  rn_scan_port *scan;
  rn_scan_direction direction;
  const rn_retention *retention;
  const rn_retention_view *view;
  rn_real *before, *state, *parts;
  rn_array states;
  bool done;
  rn_status status; /* of a fold that a poll has made, with its cause */
  rn_err err;
} rn_eager_completion;

/**
 * After the scan's begin(): its end() and pass() are made here. From the chunks' parts, `states`
 * become those before each chunk (FORWARD), or the adjoints of each chunk's outgoing state.
 *
 * Shapes:    before, state [B, H, K, V]: what has come (NULL: nobody asks), and work space; parts,
 *            states [chunks, B, H, K, V].
 * Ownership: all of it stays until rn_eager_completion_finish; *out stays where it is.
 */
void rn_eager_completion_start(rn_eager_completion *out, rn_scan_port *scan,
                               rn_scan_direction direction, const rn_retention *retention,
                               const rn_retention_view *view, rn_real *before, rn_real *state,
                               rn_real *parts, rn_array states);

/** Waits for the state, unless it has come. Errors: whatever the scan returns. */
rn_status rn_eager_completion_finish(rn_err *err, rn_eager_completion *fold);

#endif
