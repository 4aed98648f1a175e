/** Wraps the ports that a caller passes to the guarded stage (tests/support/guarded_stage.h): while
 * a port runs outside a parallel region, the pages of the stage are protected. */
#ifndef RN_TESTS_SUPPORT_GUARDED_PORTS_H
#define RN_TESTS_SUPPORT_GUARDED_PORTS_H

#include "tests/support/guarded_cpu_stage.h"

/** Implements rn_stage_ops.attach. */
void guarded_attach(rn_stage *base, rn_layer_group_port port);

/** Returns the port that the layers use in place of `scan`, which must remain valid. */
rn_scan_port guarded_scan_port(guarded_cpu_stage *stage, rn_scan_port *scan);

/**
 * The arguments of guarded_until_reached: a condition of the caller, and a stage, which is closed
 * while the condition is evaluated. The stage stays open if other threads compute.
 */
typedef struct guarded_until {
  guarded_cpu_stage *stage;
  rn_stage_until until;
} guarded_until;

/** Evaluates the condition of `self`, a guarded_until. */
bool guarded_until_reached(void *self);

#endif
