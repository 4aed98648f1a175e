/**
 * Assigns layers to pipeline stages, as parallel.layer_split says or by balancing the work.
 *
 * The embedding counts as work of the first stage, the vocabulary head as work of the last.
 */
#ifndef RN_TRAINER_LAYOUT_LAYER_SPLIT_H
#define RN_TRAINER_LAYOUT_LAYER_SPLIT_H

#include "model/spec/spec.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Layers first[s] .. first[s+1]-1 belong to stage s; every stage has at least one.
 *
 * Uses parallel.layer_split if given. Otherwise minimizes the work of the most loaded stage by
 * adding each layer to the stage that then has the least work.
 * Shapes: first [stages + 1]; 1 <= stages <= layers.
 * Errors: RN_ERR_USAGE naming parallel.layer_split if it does not have one entry of at least 1 per
 *         stage or its entries do not add up to the number of layers.
 */
rn_status rn_layer_split(rn_err *err, const rn_spec *spec, const Retnet__Parallel *parallel,
                         int stages, int *first);

#endif
