/**
 * Which layers a pipeline stage works on: the keys' word, or as even in work as whole layers allow.
 *
 * The embedding and the vocabulary head count as work of the first and the last stage.
 */
#ifndef RN_TRAINER_PARALLEL_LAYER_SPLIT_H
#define RN_TRAINER_PARALLEL_LAYER_SPLIT_H

#include "model/spec/spec.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/**
 * Layers first[s] .. first[s+1]-1 belong to stage s; every stage has at least one.
 *
 * parallel.layer_split holds if given; else the most loaded stage has as little work as possible,
 * and of such splits later layers go where least work is.
 * Shapes: first [stages + 1]; 1 <= stages <= layers.
 * Errors: RN_ERR_USAGE naming parallel.layer_split when its entries are not one a stage or do not
 *         add up to the layers.
 */
rn_status rn_layer_split(rn_err *err, const rn_spec *spec, const Retnet__Parallel *parallel,
                         int stages, int *first);

#endif
