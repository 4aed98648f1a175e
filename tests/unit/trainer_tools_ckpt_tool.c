/* Checks that `diff` reports exactly the logical differences, and that show, list, verify and
 * prune agree. */
#include "trainer/tools/ckpt_tool.h"

#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/model_ckpt.h"
#include "tests/support/temp.h"

static rn_err *err = &(rn_err){0};

/* Returns whether a and b differ. The report must contain `words`. */
static bool differs(const char *a, const char *b, bool weights_only, const char *words) {
  char text[8192] = "";
  bool identical = false;
  FILE *out = fmemopen(text, sizeof text - 1, "w");
  CHECK_OK(err, rn_ckpt_tool_diff(err, a, b, weights_only, out, &identical));
  fclose(out);
  if (strstr(text, words) == NULL) fprintf(stderr, "no \"%s\" in: %s\n", words, text);
  CHECK(strstr(text, words) != NULL);
  return !identical;
}

static void diff_sees_what_counts(void) {
  const char *base = model_ckpt_save("base", (model_ckpt){{MODEL_CKPT_SMALL}, 2, 1, 0, false, 0});
  CHECK(!differs(base, base, false, "identical\n"));
  const char *layout = model_ckpt_save(
      "layout", (model_ckpt){{MODEL_CKPT_SMALL, "model.chunk=8"}, 2, 3, 0, true, 0});
  CHECK(!differs(base, layout, false, "identical\n"));
  const char *later =
      model_ckpt_save("later", (model_ckpt){{MODEL_CKPT_SMALL}, 2, 2, 0, false, 1700000000});
  CHECK(!differs(base, later, false, "identical\n"));
  const char *step = model_ckpt_save("step", (model_ckpt){{MODEL_CKPT_SMALL}, 3, 2, 0, false, 0});
  CHECK(differs(base, step, false, "step: 2 and 3\n"));
  CHECK(!differs(base, step, true, "identical\n"));
  const char *nudged =
      model_ckpt_save("nudged", (model_ckpt){{MODEL_CKPT_SMALL}, 2, 2, 0.25f, false, 0});
  CHECK(differs(base, nudged, true, ": 1 of 208 elements differ, by at most 0.25\n"));
  CHECK(differs(base, nudged, false, "output_projection.weight"));
  const char *eps = model_ckpt_save(
      "eps", (model_ckpt){{MODEL_CKPT_SMALL, "model.norm_eps=0.01"}, 2, 1, 0, false, 0});
  CHECK(differs(base, eps, false, "model.norm_eps"));
  CHECK(!differs(base, eps, true, "identical\n"));
  const char *tied = model_ckpt_save(
      "tied", (model_ckpt){{MODEL_CKPT_SMALL, "model.tie_embeddings=true"}, 2, 1, 0, false, 0});
  CHECK(differs(base, tied, false, "weight output_projection.weight: only in"));
  CHECK(differs(tied, base, true, "weight output_projection.weight: only in"));
  bool identical;
  CHECK_FAILS(err, RN_ERR_NOT_FOUND, "nowhere",
              rn_ckpt_tool_diff(err, base, temp_path("nowhere"), false, stdout, &identical));
}

static void show_list_verify_and_prune_work(void) {
  static char text[65536];
  const char *run = model_ckpt_save(
      "many", (model_ckpt){{MODEL_CKPT_SMALL, "checkpoint.keep_last=1"}, 2, 1, 0, false, 0});
  model_ckpt_save(
      "many",
      (model_ckpt){{MODEL_CKPT_SMALL, "checkpoint.keep_last=1"}, 4, 1, 0, false, 1700000000});
  FILE *out = fmemopen(text, sizeof text - 1, "w");
  CHECK_OK(err, rn_ckpt_tool_show(err, run, out));
  CHECK_OK(err, rn_ckpt_tool_list(err, run, out));
  CHECK_OK(err, rn_ckpt_tool_verify(err, run, out));
  fclose(out);
  CHECK(strstr(text, "step           4\n") != NULL);
  CHECK(strstr(text, "layers         1, 3 (of each pipeline stage)\n") != NULL);
  CHECK(strstr(text, "build          another build\n") != NULL);
  CHECK(strstr(text, "saved          2023-11-14 22:13:20 UTC\n") != NULL);
  CHECK(strstr(text, "  model.dim: 16\n") != NULL);
  CHECK(strstr(text, "  embed_tokens.weight [13, 16] weight exp_avg exp_avg_sq\n") != NULL);
  CHECK(strstr(text, "step-00000002: ok\n") != NULL);
  CHECK_OK(err, rn_ckpt_tool_prune(err, run, 5, -1));
  CHECK(rn_file_exists(temp_path("many/checkpoints/step-00000002")));
  CHECK_OK(err, rn_ckpt_tool_prune(err, run, -1, -1));
  CHECK(!rn_file_exists(temp_path("many/checkpoints/step-00000002")));
  CHECK(rn_file_exists(temp_path("many/checkpoints/step-00000004")));
  CHECK_OK(err, rn_file_replace(err, temp_path("many/checkpoints/step-00000004/x"), "", 0));
  CHECK_FAILS(err, RN_ERR_FORMAT, "step-00000004/x", rn_ckpt_tool_verify(err, run, stdout));
}

/* Checks what `list` and `verify` print about the only checkpoint of a run. */
static void says(const char *run, rn_status verified, const char *word) {
  static char text[8192], line[256];
  rn_err why = {0};
  FILE *out = fmemopen(text, sizeof text, "w");
  CHECK_OK(err, rn_ckpt_tool_list(err, run, out));
  CHECK(rn_ckpt_tool_verify(&why, run, out) == verified);
  fclose(out);
  snprintf(line, sizeof line, "step-00000002: %s: ", word);
  CHECK(strstr(text, line) != NULL);
  snprintf(line, sizeof line, "step-00000002: %s\n", word);
  CHECK(strstr(text, line) != NULL);
}

/* A truncated file is detected by its size. A missing file is reported with a different word, which
 * is the same in all commands. */
static void list_and_verify_agree(void) {
  static const char part[] = "cut/checkpoints/step-00000002/part-00000.zst";
  const char *run = model_ckpt_save("cut", (model_ckpt){{MODEL_CKPT_SMALL}, 2, 1, 0, false, 0});
  CHECK_EQUAL(truncate(temp_path(part), 100), 0);
  says(run, RN_ERR_FORMAT, "damaged");
  CHECK_EQUAL(unlink(temp_path(part)), 0);
  says(run, RN_ERR_NOT_FOUND, "incomplete");
  CHECK_EQUAL(unlink(temp_path("cut/checkpoints/step-00000002/manifest.pb")), 0);
  says(run, RN_ERR_NOT_FOUND, "incomplete");
}

int main(void) {
  diff_sees_what_counts();
  show_list_verify_and_prune_work();
  list_and_verify_agree();
  return check_result();
}
