/**
 * A second backend of the stage, as hardware with memory of its own would be: it computes with the
 * CPU's layers, but weights, gradients, rows and states are in pages that are protected outside its
 * own calls and outside of what the caller has mapped.
 *
 * It adopts no memory. While it calls a layer group port or a scan port, its arrays are closed,
 * too, except when the scan port is polled within parallel work, whose other threads use the
 * arrays. The states of a scan are open only from begin to end, own state for reading.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_STAGE_H
#define RN_TESTS_SUPPORT_GUARDED_STAGE_H

#include "model/stage/stage.h"

extern const rn_stage_ops guarded_stage;

#endif
