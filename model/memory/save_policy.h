/** The save policy determines which results of a unit's forward are kept in memory until the unit's
 * backward (model/pass/unit.h). */
#ifndef RN_MODEL_MEMORY_SAVE_POLICY_H
#define RN_MODEL_MEMORY_SAVE_POLICY_H

typedef enum {
  RN_SAVE_NOTHING, /* saves nothing; for a forward without backward */
  RN_SAVE_INPUTS, /* saves the layers' inputs and received states; backward recomputes the layers */
  RN_SAVE_MOST,   /* saves all except what backward_input can recompute; requires pass->weights */
  RN_SAVE_ALL
} rn_save_policy;

enum { RN_SAVE_POLICIES = RN_SAVE_ALL + 1 };

#endif
