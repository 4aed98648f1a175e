/**
 * Assigns layers to pipeline stages, either as given by parallel.layer_split or by balancing the
 * work.
 *
 * The embedding counts as work of the first stage, the vocabulary head as work of the last.
 */
#ifndef RN_TRAINER_LAYOUT_LAYER_SPLIT_H
#define RN_TRAINER_LAYOUT_LAYER_SPLIT_H

#include "model/spec/spec.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Computes `first`: layers first[s] .. first[s+1]-1 belong to stage s, and every stage has at least
 * one layer.
 *
 * Uses parallel.layer_split if given. Otherwise minimizes the work of the most loaded stage.
 * Shapes: first [stages + 1]; 1 <= stages <= layers.
 * Errors: RN_ERR_USAGE naming parallel.layer_split if the key does not have one entry of at least 1
 *         per stage, or if the entries do not add up to the number of layers.
 */
rn_status rn_layer_split(rn_err *err, const rn_spec *spec, const Retnet__Parallel *parallel,
                         int stages, int *first);

#endif
