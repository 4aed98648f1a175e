/** Save policy: how much of a unit's forward is kept in memory until its backward. */
#ifndef RN_MODEL_MEMORY_SAVE_POLICY_H
#define RN_MODEL_MEMORY_SAVE_POLICY_H

typedef enum {
  RN_SAVE_NOTHING, /* forward only: no backward follows */
  RN_SAVE_INPUTS,  /* layers' inputs and states before the segment; backward recomputes layers */
  RN_SAVE_MOST,    /* all but what backward_input recomputes; it needs pass->weights */
  RN_SAVE_ALL
} rn_save_policy;

enum { RN_SAVE_POLICIES = RN_SAVE_ALL + 1 };

#endif
