/* Checks that a manifest that claims more layers than it has tensors is refused before a table of
 * its parameters is allocated. */
#include <limits.h>

#include "data/checkpoint/ckpt_manifest.h"
#include "data/file/file.h"
#include "tests/support/check.h"
#include "tests/support/model_ckpt.h"
#include "trainer/checkpoint/checkpoint_model.h"

static void set_layers(Retnet__Config *config, int layers) {
  if (config == NULL) return;
  config->model->has_layers = 1;
  config->model->layers = layers;
}

int main(void) {
  rn_err *err = &(rn_err){0};
  rn_checkpoint_model model;
  Retnet__Manifest *manifest = NULL;
  const char *run = model_ckpt_save("run", (model_ckpt){{MODEL_CKPT_SMALL}, 2, 1, 0, false, 0});
  const rn_path step = rn_path_join(run, "checkpoints/step-00000002");
  const rn_path path = rn_path_join(step.text, "manifest.pb");
  CHECK_OK(err, rn_checkpoint_model_open(err, step.text, &model));
  rn_checkpoint_model_close(&model);
  CHECK_OK(err, rn_ckpt_manifest_read(err, path.text, &manifest));
  set_layers(manifest->config, INT_MAX);
  set_layers(manifest->effective, INT_MAX);
  CHECK_OK(err, rn_ckpt_manifest_write(err, path.text, manifest));
  retnet__manifest__free_unpacked(manifest, NULL);
  CHECK_FAILS(err, RN_ERR_FORMAT, "step-00000002|2147483647 layers",
              rn_checkpoint_model_open(err, step.text, &model));
  return check_result();
}
