/* Checks that a generator that loads a saved state continues with the same tokens as the generator
 * that saved it, that a file whose state contradicts its message is refused with an error that
 * names the file, and that loading a state also reserves the memory of the next run. */
#include "trainer/generate/saved_state.h"

#include <stdlib.h>
#include <string.h>

#include "data/state/state_file.h"
#include "model/base/threads.h"
#include "proto/base/fault.h"
#include "tests/support/check.h"
#include "tests/support/stage.h"
#include "tests/support/temp.h"

enum { PROMPT = 3, DRAWN = 5, TOKENS = PROMPT + DRAWN };

static rn_err err;
static const char *path;
static const int32_t prompt[PROMPT] = {1, 2, 3};

static rn_spec attention_spec(void) {
  rn_spec spec = test_spec();
  spec.arch = RN_ARCH_TRANSFORMER;
  spec.attention_heads = spec.kv_heads = 2, spec.rope_theta = 100;
  return spec;
}

static rn_checkpoint_model model_of(rn_spec spec) {
  rn_checkpoint_model m = {.spec = spec};
  CHECK_OK(&err, rn_param_table_create(&err, &spec, 0, spec.layers, &m.table));
  m.params = test_take((size_t)m.table->total, sizeof *m.params);
  test_fill(m.params, m.table->total, 0.5, 3);
  return m;
}

static void close_model(rn_checkpoint_model *m) {
  rn_param_table_destroy(&m->table);
  free(m->params);
}

static rn_generator *generator_of(const rn_checkpoint_model *model) {
  const rn_generation_options options = {.max_tokens = DRAWN,
                                         .vocabulary = model->spec.vocab,
                                         .sampling = {.temperature = 1, .top_p = 1},
                                         .repetition = {.penalty = 1}};
  rn_generator *g = NULL;
  CHECK_OK(&err, rn_generator_create(&err, model, &options, 1, &g));
  return g;
}

static rn_status visit(void *self, rn_err *e, int sequence, int32_t token, rn_generate_next *next) {
  (void)self, (void)e, (void)sequence, (void)token, (void)next;
  return RN_OK;
}

static rn_status run(rn_generator *g) {
  return rn_generator_run(&err, g, (rn_token_visitor){.visit = visit});
}

static rn_status load(rn_generator *g, const rn_checkpoint_model *model) {
  rn_err_clear(&err);
  return rn_saved_state_load(&err, g, 1, (rn_state_owner){.model = model}, path);
}

/* Saves the state after a prompt and a completion. */
static void save(const rn_checkpoint_model *model) {
  rn_generator *g = generator_of(model);
  CHECK_OK(&err, rn_sequence_give(&err, rn_generator_sequence(g, 0), prompt, PROMPT));
  CHECK_OK(&err, run(g));
  CHECK_OK(&err, rn_saved_state_write(&err, g, 0, (rn_state_owner){.model = model}, path));
  rn_generator_destroy(&g);
}

/* Rewrites the saved file: sets the position in the state to `position` and message.read to `read`,
 * and leaves out the last `missing` bytes of the state. */
static void change(int64_t position, uint64_t read, size_t missing) {
  rn_state_reader reader = {.message = NULL};
  rn_state_writer writer = {.bytes = 0};
  void *state = NULL;
  size_t bytes = 0;
  CHECK_OK(&err, rn_state_reader_open(&err, path, &reader));
  CHECK_OK(&err, rn_state_reader_read(&err, &reader, SIZE_MAX, &state, &bytes));
  memcpy(state, &position, sizeof position);
  Retnet__GenerationState message = *reader.message;
  message.read = read;
  message.drawn = false;
  CHECK_OK(&err, rn_state_writer_open(&err, path, &writer));
  CHECK_OK(&err, rn_state_writer_add(&err, &writer, state, bytes - missing));
  CHECK_OK(&err, rn_state_writer_commit(&err, &writer, &message));
  rn_state_writer_close(&writer);
  rn_state_reader_close(&reader);
  free(state);
}

static void refuse(const rn_checkpoint_model *model, int64_t position, uint64_t read,
                   size_t missing) {
  rn_generator *g = generator_of(model);
  save(model);
  change(position, read, missing);
  CHECK_EQUAL(load(g, model), RN_ERR_FORMAT);
  if (!CHECK(strstr(err.text, path) != NULL)) printf("  %s\n", err.text);
  rn_generator_destroy(&g);
}

static void a_state_of_other_tokens_is_refused(rn_spec spec) {
  rn_checkpoint_model model = model_of(spec);
  refuse(&model, TOKENS - 1, PROMPT, 0);
  refuse(&model, PROMPT, TOKENS - 1, 0);
  refuse(&model, INT64_MAX, TOKENS - 1, 0);
  refuse(&model, -1, TOKENS - 1, 0);
  refuse(&model, TOKENS - 1, TOKENS - 1, 1);
  close_model(&model);
}

/* Saves the state after a run or before the first token, and loads it into another generator. Both
 * generators must then draw the same tokens. */
static void a_saved_state_continues(rn_spec spec, bool after_run) {
  rn_checkpoint_model model = model_of(spec);
  rn_generator *saved = generator_of(&model), *loaded = generator_of(&model);
  rn_sequence *want = rn_generator_sequence(saved, 0), *got = rn_generator_sequence(loaded, 0);
  CHECK_OK(&err, rn_sequence_give(&err, want, prompt, PROMPT));
  if (after_run) CHECK_OK(&err, run(saved));
  CHECK_OK(&err, rn_saved_state_write(&err, saved, 0, (rn_state_owner){.model = &model}, path));
  CHECK_OK(&err, load(loaded, &model));
  CHECK_OK(&err, run(saved));
  CHECK_OK(&err, run(loaded));
  CHECK_EQUAL(got->count, PROMPT + (after_run ? 2 : 1) * DRAWN);
  CHECK(got->count == want->count &&
        memcmp(got->token, want->token, (size_t)got->count * sizeof *got->token) == 0);
  rn_generator_destroy(&saved);
  rn_generator_destroy(&loaded);
  close_model(&model);
}

/* Checks that loading a state also reserves the memory of the next run, so that this run creates no
 * second decoder. Two decoders that exist at the same time would need twice the memory. */
static void loading_reserves_the_next_run(void) {
  rn_checkpoint_model model = model_of(attention_spec());
  rn_generator *g = generator_of(&model);
  save(&model);
  CHECK_OK(&err, load(g, &model));
  CHECK_OK(&err, rn_sequence_give(&err, rn_generator_sequence(g, 0), prompt, PROMPT));
  setenv("RETNET_FAULT", "alloc:1-", 1);
  CHECK_OK(&err, run(g));
  unsetenv("RETNET_FAULT");
  rn_generator_destroy(&g);
  close_model(&model);
}

/* Checks that if there is no memory for spare tokens, a decoder for exactly the required tokens is
 * created. */
static void spare_memory_is_optional(void) {
  rn_checkpoint_model model = model_of(attention_spec());
  rn_generator *g = generator_of(&model);
  CHECK_OK(&err, rn_generator_reserve(&err, g, 1000));
  setenv("RETNET_FAULT", "alloc:1", 1);
  CHECK_OK(&err, rn_generator_reserve(&err, g, 1001));
  CHECK(rn_fault_passes() > 1);
  setenv("RETNET_FAULT", "alloc:1-", 1);
  CHECK_FAILS(&err, RN_ERR_MEMORY, "memory", rn_generator_reserve(&err, g, 1002));
  unsetenv("RETNET_FAULT");
  rn_err_clear(&err);
  CHECK_OK(&err, rn_sequence_give(&err, rn_generator_sequence(g, 0), prompt, PROMPT));
  CHECK_OK(&err, run(g));
  rn_generator_destroy(&g);
  close_model(&model);
}

int main(void) {
  rn_threads_start(1);
  path = temp_path("a.state");
  a_saved_state_continues(test_spec(), true);
  a_saved_state_continues(attention_spec(), true);
  a_saved_state_continues(attention_spec(), false);
  a_state_of_other_tokens_is_refused(test_spec());
  a_state_of_other_tokens_is_refused(attention_spec());
  loading_reserves_the_next_run();
  spare_memory_is_optional();
  return check_result();
}
