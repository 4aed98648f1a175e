#include "trainer/evaluate/requests_score.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

/* The requests whose continuation has at least one token. Each is a window; window i belongs to the
 * request with index request[i]. */
typedef struct scored {
  rn_requests *requests;
  int64_t *request, windows;
  rn_token_file *tokens;
} scored;

static rn_status read_tokens(void *self, rn_err *err, int64_t first, int64_t count,
                             int32_t *tokens) {
  const rn_requests *requests = self;
  (void)err;
  memcpy(tokens, requests->tokens.id + first, (size_t)count * sizeof *tokens);
  return RN_OK;
}

static rn_score_window window_at(const void *self, int64_t index) {
  const scored *s = self;
  const rn_request *r = &s->requests->request[s->request[index]];
  return (rn_score_window){r->first, (int)r->tokens, (int)r->counted};
}

static rn_status make_windows(rn_err *err, scored *s) {
  const size_t count = (size_t)s->requests->count;
  RN_TRY(err, rn_alloc(err, "windows", count, sizeof *s->request, &s->request));
  for (int64_t i = 0; i < s->requests->count; i++) {
    if (s->requests->request[i].counted > 0) s->request[s->windows++] = i;
  }
  return RN_OK;
}

static rn_status add_scores(void *self, rn_err *err, int64_t window, const rn_token_score *score) {
  scored *s = self;
  rn_request *r = &s->requests->request[s->request[window]];
  const int64_t from = r->tokens - r->counted;
  (void)err;
  for (int64_t i = from; i < r->tokens; i++) {
    r->log_likelihood -= (double)score[i].loss;
    r->is_greedy = r->is_greedy && score[i].largest;
  }
  const rn_token_line line = {.set = -1,
                              .kind = "request",
                              .index = s->request[window],
                              .position = from + 1,
                              .greedy = true};
  rn_token_file_write(s->tokens, line, score + from, (int)r->counted);
  return RN_OK;
}

rn_status rn_requests_score(rn_err *err, rn_world *world, const rn_checkpoint_model *model,
                            const rn_requests_options *options, rn_requests *requests) {
  scored s = {.requests = requests, .tokens = options->tokens};
  rn_status status = rn_agree(err, world, make_windows(err, &s));
  if (status == RN_OK) {
    const rn_scoring scoring = {.windows = {&s, window_at, s.windows},
                                .capacity = options->capacity,
                                .form = options->form,
                                .largest = true,
                                .parallel = options->parallel};
    status = rn_score_windows(err, world, model, &scoring,
                              (rn_window_source){requests, read_tokens, -1, -1, false},
                              (rn_score_visitor){&s, add_scores});
  }
  free(s.request);
  return status;
}
