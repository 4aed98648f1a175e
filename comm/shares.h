/**
 * Who owns what of a stage's weights: the flat array is cut into parts that follow one another, and
 * each part into shares, one for each replica of the stage.
 */
#ifndef RN_COMM_SHARES_H
#define RN_COMM_SHARES_H

#include <assert.h>

#include "proto/cut.h"

/** edge [parts, replicas + 1]: replica r owns edge[p][r] .. edge[p][r + 1] - 1 of part p. */
typedef struct rn_shares {
  int parts, replicas;
  int64_t *edge;
} rn_shares;

/** What a replica owns of a part; a whole part. */
static inline rn_range rn_shares_of(const rn_shares *shares, int part, int replica) {
  assert(0 <= part && part < shares->parts && 0 <= replica && replica < shares->replicas);
  const int64_t *edge = shares->edge + (int64_t)part * (shares->replicas + 1) + replica;
  assert(edge[0] <= edge[1]);
  return (rn_range){edge[0], edge[1]};
}

static inline rn_range rn_shares_part(const rn_shares *shares, int part) {
  return (rn_range){rn_shares_of(shares, part, 0).begin,
                    rn_shares_of(shares, part, shares->replicas - 1).end};
}

#endif
