/**
 * Computes the losses of individual tokens, on any number of ranks. The tokens are read from a
 * stream, in windows:
 *
 *   window          inputs    first .. first + tokens - 1
 *                   targets   first + 1 .. first + tokens; the last `counted` of them are scored
 *
 * The state is zero at the start of a window, so that windows do not see each other. Short windows
 * are packed: consecutive ones run as one sequence of at most `capacity` tokens, and of at most
 * RN_SCORE_SHORT_TOKENS tokens, so that the ranks have packs to share. A longer window runs alone.
 * If the retention scale depends on the position in the sequence, every window runs alone.
 */
#ifndef RN_TRAINER_EVALUATE_SCORE_H
#define RN_TRAINER_EVALUATE_SCORE_H

#include "comm/world/world.h"
#include "trainer/checkpoint/checkpoint_model.h"
#include "trainer/parallel/pipeline.h"

typedef struct rn_score_window {
  int64_t first;
  int tokens;  /* at least 1 */
  int counted; /* 0 .. tokens */
} rn_score_window;

/** The windows to score. Scoring passes over all of them in ascending order, several times, and
 * calls `at` again in each pass, so that it need not store them: `at` must always return the same
 * window for an index. */
typedef struct rn_window_list {
  const void *self;
  rn_score_window (*at)(const void *self, int64_t index);
  int64_t count;
} rn_window_list;

/** The stream of tokens from which windows are read. */
typedef struct rn_window_source {
  void *self;
  rn_status (*read)(void *self, rn_err *err, int64_t first, int64_t count, int32_t *tokens);
  int32_t document; /* document token; -1: none */
  int32_t begin;    /* token that the model reads wherever the stream has the document token */
  bool resets;      /* the document token resets the state inside a window */
} rn_window_source;

/** The score of one target. */
typedef struct rn_token_score {
  int32_t target;
  float loss;      /* -log of its probability */
  int32_t largest; /* 1: no other token has a larger logit; 0: another token has, or
                      rn_scoring.largest is false */
} rn_token_score;

typedef struct rn_scoring {
  rn_window_list windows;
  int capacity;
  rn_form form;
  bool largest; /* also compute rn_token_score.largest of the counted targets */
  const Retnet__Parallel
      *parallel; /* how the work is divided: only data, sequence, scan and comm_thread are used */
} rn_scoring;

/** Receives the scores [tokens] of each window on rank 0, in the order of the windows. */
typedef struct rn_score_visitor {
  void *self;
  rn_status (*visit)(void *self, rn_err *err, int64_t window, const rn_token_score *score);
} rn_score_visitor;

/**
 * Scores all windows. If the log is on a terminal, shows the progress there.
 *
 * The ranks form parallel.data groups of parallel.sequence ranks. The groups take the packs
 * round-robin, and the ranks of a group divide each pack. If one of the keys is 0, it is computed
 * from the number of ranks. If both are 0, each rank takes whole packs if the model has attention
 * layers, if no pack has more than RN_SCORE_SHORT_TOKENS tokens, or if there are at least as many
 * packs as ranks and no pack has more than RN_SCORE_LONG_TOKENS tokens; otherwise all ranks form
 * one group. Where ranks take whole packs, the scores are bitwise the same on any number of ranks.
 * They depend, within rounding, on the other windows of a pack.
 *
 * Collective: over the world; all ranks pass equal windows.
 * Errors:     those of reading and of the visitor, agreed; RN_ERR_USAGE if data x sequence is not
 *             the number of ranks, or for parallel.pipeline > 1.
 */
rn_status rn_score_windows(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                           const rn_scoring *scoring, rn_window_source source,
                           rn_score_visitor visitor);

enum { RN_SCORE_SHORT_TOKENS = 4096, RN_SCORE_LONG_TOKENS = 32768 };

#endif
