/** The ports of the guarded stage: the code of the caller runs while the stage is closed. */
#ifndef RN_TESTS_SUPPORT_GUARDED_PORTS_H
#define RN_TESTS_SUPPORT_GUARDED_PORTS_H

#include "tests/support/guarded_cpu_stage.h"

/** attach() of the stage. */
void guarded_attach(rn_stage *base, rn_layer_group_port port);

/** Returns the port that the layers use in place of `scan`, which stays valid. */
rn_scan_port guarded_scan_port(guarded_cpu_stage *stage, rn_scan_port *scan);

/** A condition of the caller, which is called while the stage is closed, unless other threads
 * compute. */
typedef struct guarded_until {
  guarded_cpu_stage *stage;
  rn_stage_until until;
} guarded_until;

/** Returns whether the condition of a guarded_until is met. */
bool guarded_until_reached(void *self);

#endif
