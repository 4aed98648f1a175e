/** The scan of a forward pass that is done again: it gives the state that the first one got. */
#ifndef RN_MODEL_REPLAY_H
#define RN_MODEL_REPLAY_H

#include "model/names.h"
#include "proto/scan_port.h"

typedef struct rn_replay {
  const rn_real *before; /* [n, m] of the scan to come; not owned */
  int64_t count;         /* of the scan at work */
} rn_replay;

/** A port that answers every scan with replay->before. */
rn_scan_port rn_replay_port(rn_replay *replay);

#endif
