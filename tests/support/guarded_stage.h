/**
 * Declares a second backend of the stage, which behaves like hardware with separate memory. It
 * computes with the CPU's layers, but keeps weights, gradients, rows and states in protected pages.
 * These pages are open only during calls of the stage and where the caller has mapped them.
 *
 * The stage never uses memory of the caller in place of its arrays. The arrays are also closed
 * while it calls a layer group port or a scan port, except if it polls the scan port inside a
 * parallel region, where other threads use the arrays. The states of a scan are open to the scan
 * port only from its begin() to its end(), and the state `own` only for reading.
 */
#ifndef RN_TESTS_SUPPORT_GUARDED_STAGE_H
#define RN_TESTS_SUPPORT_GUARDED_STAGE_H

#include "model/stage/stage.h"

extern const rn_stage_ops guarded_stage;

#endif
