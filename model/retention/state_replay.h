/** Implements the scan port of a recomputed forward, which returns the state that the first forward
 * received. */
#ifndef RN_MODEL_RETENTION_STATE_REPLAY_H
#define RN_MODEL_RETENTION_STATE_REPLAY_H

#include "model/base/precision_names.h"
#include "proto/ports/scan_port.h"

typedef struct rn_state_replay {
  const rn_real *before; /* [n, m]: state that the next scan returns; not owned */
  int64_t count;         /* n * m of the scan in progress */
} rn_state_replay;

/** Returns a port whose scans return replay->before. */
rn_scan_port rn_state_replay_port(rn_state_replay *replay);

#endif
