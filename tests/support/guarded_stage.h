/**
 * A second backend of the stage, which behaves like hardware with separate memory. It computes with
 * the layers of the CPU, but keeps weights, gradients, rows and states in protected pages. These
 * are open only during its own calls and where the caller has mapped them.
 *
 * It adopts no memory. Its arrays are also closed while it calls a layer group port or a scan port,
 * except if it polls the scan port within parallel work, where other threads use the arrays. The
 * states of a scan are open only from begin to end, and the state `own` only for reading.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_STAGE_H
#define RN_TESTS_SUPPORT_GUARDED_STAGE_H

#include "model/stage/stage.h"

extern const rn_stage_ops guarded_stage;

#endif
