/** Computes the log-likelihoods of the continuations that an evaluation harness requests. */
#ifndef RN_TRAINER_EVALUATE_REQUESTS_SCORE_H
#define RN_TRAINER_EVALUATE_REQUESTS_SCORE_H

#include "trainer/evaluate/requests.h"
#include "trainer/evaluate/score.h"
#include "trainer/evaluate/token_file.h"

typedef struct rn_requests_options {
  rn_form form;
  int capacity; /* maximum number of tokens of a sequence that consists of several short requests;
                   0: each request runs alone */
  const Retnet__Parallel *parallel;
  rn_token_file *tokens;
} rn_requests_options;

/** Computes the results of all requests. Collective: over the world. Errors: those of
 * rn_score_windows. */
rn_status rn_requests_score(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                            const rn_requests_options *options, rn_requests *requests);

#endif
