/** The scan of a forward pass that is done again: it gives the state that the first one got. */
#ifndef RN_MODEL_RETENTION_STATE_REPLAY_H
#define RN_MODEL_RETENTION_STATE_REPLAY_H

#include "model/base/precision_names.h"
#include "proto/ports/scan_port.h"

typedef struct rn_state_replay {
  const rn_real *before; /* [n, m] of the scan to come; not owned */
  int64_t count;         /* of the scan at work */
} rn_state_replay;

/** A port that answers every scan with replay->before. */
rn_scan_port rn_state_replay_port(rn_state_replay *replay);

#endif
