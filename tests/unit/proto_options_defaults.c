/* Checks the default of each key. A changed default would change the runs of all users. */
#include <stdio.h>
#include <string.h>

#include "proto/options/options.h"
#include "tests/support/check.h"

static rn_err err;

static const char *const defaults[][2] = {
    {"run.max_hours", "0"},
    {"run.reproducible", "false"},
    {"run.leaf", "0"},
    {"run.requeue_exit", "false"},
    {"run.seed", "1"},
    {"run.profile", "false"},
    {"run.watchdog_s", "600"},
    {"model.arch", "retnet"},
    {"model.preset", "\"\""},
    {"model.layers", "4"},
    {"model.dim", "256"},
    {"model.value_dim", "512"},
    {"model.ffn_dim", "512"},
    {"model.heads", "4"},
    {"model.vocab", "0"},
    {"model.decay", "eq8"},
    {"model.rotary", "torchscale"},
    {"model.head_norm", "rms"},
    {"model.block_norm", "rms"},
    {"model.ffn", "glu"},
    {"model.activation", "swish"},
    {"model.gate", "true"},
    {"model.pre_norm", "true"},
    {"model.deepnorm", "false"},
    {"model.embedding_norm", "false"},
    {"model.tie_embeddings", "false"},
    {"model.scale_embedding", "false"},
    {"model.norm_eps", "1e-06"},
    {"model.retention_scale", "canonical"},
    {"model.init", "torchscale"},
    {"model.dropout", "0"},
    {"model.chunk", "0"},
    {"model.products", "auto"},
    {"data.sequence_length", "2048"},
    {"data.batch_sequences", "8"},
    {"data.reset_at_documents", "true"},
    {"data.carry_state", "false"},
    {"parallel.data", "0"},
    {"parallel.pipeline", "0"},
    {"parallel.sequence", "0"},
    {"parallel.segments", "0"},
    {"parallel.microbatch", "0"},
    {"parallel.scan", "auto"},
    {"parallel.scan_epsilon", "0"},
    {"parallel.threads", "0"},
    {"parallel.layer_split", "[]"},
    {"parallel.comm_thread", "auto"},
    {"parallel.share_weights", "auto"},
    {"parallel.share_gradients", "auto"},
    {"optimizer.lr", "0.0006"},
    {"optimizer.beta1", "0.9"},
    {"optimizer.beta2", "0.98"},
    {"optimizer.eps", "1e-08"},
    {"optimizer.weight_decay", "0.05"},
    {"optimizer.decay", "matrices"},
    {"optimizer.eps_mode", "torch"},
    {"optimizer.clip", "2"},
    {"optimizer.schedule", "linear"},
    {"optimizer.warmup_steps", "100"},
    {"optimizer.decay_steps", "0"},
    {"optimizer.min_lr", "0"},
    {"train.steps", "1000"},
    {"train.eval_every", "100"},
    {"train.eval_sequences", "0"},
    {"train.log_every", "1"},
    {"train.precision", "fp32"},
    {"train.recompute", "none"},
    {"train.max_bad_steps", "10"},
    {"train.spike_action", "off"},
    {"train.spike_window", "128"},
    {"train.spike_sigma", "6"},
    {"train.max_rollbacks", "10"},
    {"train.check_replicas_every", "0"},
    {"checkpoint.every", "100"},
    {"checkpoint.keep_last", "3"},
    {"checkpoint.keep_every", "0"},
    {"checkpoint.level", "1"},
    {"checkpoint.async", "true"},
    {"checkpoint.resume", "\"auto\""},
    {"checkpoint.init_from", "\"\""},
    {"checkpoint.reset_lanes", "false"},
};

int main(void) {
  Retnet__Config *config = NULL;
  char text[RN_OPTIONS_TEXT_BYTES];
  if (!CHECK_OK(&err, rn_options_create(&err, &config))) return 1;
  for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
    const char *key = defaults[i][0];
    if (!CHECK(rn_options_text(config, key, text, sizeof text)) ||
        !CHECK(strcmp(text, defaults[i][1]) == 0)) {
      fprintf(stderr, "  %s is %s, want %s\n", key, text, defaults[i][1]);
    }
    CHECK(!rn_options_given(config, key));
  }
  rn_options_free(&config);
  return check_result();
}
