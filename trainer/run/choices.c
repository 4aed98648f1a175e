#include "trainer/run/choices.h"

#include <stdio.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/log.h"

static void copy_name(const char *name, char out[RN_CHOICE_BYTES]) {
  snprintf(out, RN_CHOICE_BYTES, "%s", name != NULL ? name : "");
}

void rn_choices_read(const Retnet__Manifest *m, rn_choices *out) {
  const Retnet__Config *config = rn_ckpt_config(m);
  const bool stored = m->choices != NULL && m->layout != NULL;
  *out = (rn_choices){.stored = stored,
                      .scan_key = config->parallel->scan,
                      .products_key = config->model->products,
                      .precision_key = config->train->precision,
                      .chunk_key = config->model->chunk};
  if (!stored) return;
  out->chunk = m->choices->chunk;
  copy_name(m->choices->scan, out->scan);
  copy_name(m->choices->products, out->products);
  copy_name(m->choices->kernels, out->kernels);
  out->layout = (rn_layout){.data = m->layout->data,
                            .pipeline = m->layout->pipeline,
                            .sequence = m->layout->sequence,
                            .segments = m->layout->segments,
                            .microbatch = m->layout->microbatch,
                            .reduction_block = rn_layout_reduction_block(config)};
}

static bool same_layout(const rn_layout *a, const rn_layout *b) {
  if (a->reduction_block != b->reduction_block) return false;
  return a->reduction_block > 0 ||
         (a->data == b->data && a->pipeline == b->pipeline && a->sequence == b->sequence &&
          a->segments == b->segments && a->microbatch == b->microbatch);
}

/* Prints a choice if it differs from the one in the checkpoint or from the one that the rule would
 * make. */
static void report(const char *what, const char *stored, const char *rule, const char *now) {
  if (strcmp(now, stored) != 0) {
    rn_log_info("resume: the %s is now %s by automatic selection; the checkpoint had %s", what, now,
                stored);
  } else if (strcmp(now, rule) != 0) {
    rn_log_info(
        "resume: the %s is %s as in the checkpoint; automatic selection would now choose %s", what,
        now, rule);
  }
}

/*
 * Selects a kernel set by name. Returns false if this build or CPU lacks it; which set is then
 * selected is unspecified.
 */
static bool use_kernels(const char *name) {
  enum { MAX_SETS = 16 };
  if (strcmp(rn_kernels_table()->name, name) == 0) return true;
  for (int i = 0; i < MAX_SETS; i++) {
    if (rn_kernels_use(i) && strcmp(rn_kernels_table()->name, name) == 0) return true;
  }
  return false;
}

/*
 * Selects a GEMM backend by name. Returns false if this build or CPU lacks it. With bf16 there is
 * only one backend, so no other can be selected.
 */
static bool use_gemm_backend(const char *name, const Retnet__Config *config) {
  if (strcmp(rn_gemm_backend_in_use()->name, name) == 0) return true;
  return config->train->precision == RETNET__PRECISION__PRECISION_FP32 &&
         rn_gemm_backend_use_named(name);
}

static void warn_lack(const char *what, const char *stored, int rank, const char *now) {
  rn_log_warn(
      "resume: the checkpoint was written with %s %s, which the machine or build of rank %d does "
      "not have: all ranks use %s, and results are no longer bit-identical to those of an "
      "uninterrupted run",
      what, stored, rank, now);
}

/*
 * Selects on every rank the kernel set and the GEMM backend that are stored in the checkpoint, the
 * former if `kernels_hold`, the latter if `products_hold`. Ranks with different kernels would
 * compute different weights; therefore, if any rank lacks the stored set or backend, all ranks keep
 * the one that was selected automatically.
 */
static rn_status apply_sets(rn_err *err, rn_world *world, const rn_choices *c,
                            const Retnet__Config *config, bool kernels_hold, bool products_hold) {
  char kernels[RN_CHOICE_BYTES], products[RN_CHOICE_BYTES];
  copy_name(rn_kernels_table()->name, kernels);
  copy_name(rn_gemm_backend_in_use()->name, products);
  const rn_gemm_backend *products_before = rn_gemm_backend_in_use();
  /* A rank that lacks the set or the backend contributes the number of ranks minus its own rank, so
   * the maximum over all ranks identifies the first such rank. */
  const int ranks = rn_world_size(world), here = ranks - rn_world_rank(world);
  int64_t lack[2] = {kernels_hold && !use_kernels(c->kernels) ? here : 0,
                     products_hold && !use_gemm_backend(c->products, config) ? here : 0};
  RN_TRY(err, rn_world_max(err, world, lack, 2));
  if (lack[0] > 0) (void)use_kernels(kernels);
  if (lack[1] > 0) (void)rn_gemm_backend_swap(products_before);
  if (lack[0] > 0) {
    warn_lack("kernels", c->kernels, ranks - (int)lack[0], kernels);
  } else {
    report("kernel set", c->kernels, kernels, rn_kernels_table()->name);
  }
  if (lack[1] > 0) {
    warn_lack("GEMM backend", c->products, ranks - (int)lack[1], products);
  } else if (config->model->products == RETNET__PRODUCTS__PRODUCTS_AUTO) {
    report("GEMM backend", c->products, products, rn_gemm_backend_in_use()->name);
  }
  return RN_OK;
}

static void apply_chunk(const rn_choices *c, const rn_choices_now *now, bool same, int *chunk) {
  char rule[RN_CHOICE_BYTES], stored[RN_CHOICE_BYTES], is[RN_CHOICE_BYTES];
  const int reduction_block = now->layout->reduction_block;
  if (now->config->model->chunk != 0 || c->chunk < 1) return;
  snprintf(rule, sizeof rule, "%d", *chunk);
  snprintf(stored, sizeof stored, "%d", c->chunk);
  if (same && c->chunk_key == 0 && (reduction_block == 0 || reduction_block % c->chunk == 0))
    *chunk = c->chunk;
  snprintf(is, sizeof is, "%d", *chunk);
  report("chunk", stored, rule, is);
}

void rn_choices_scan(const rn_choices *c, rn_choices_now now, const char *rule,
                     Retnet__Scan *scan) {
  const bool by_rule = now.config->parallel->scan == RETNET__SCAN__SCAN_AUTO;
  if (!c->stored || !by_rule || now.layout->sequence == 1 || now.layout->reduction_block > 0)
    return;
  const char *is = rule;
  if (same_layout(&c->layout, now.layout) && c->scan_key == RETNET__SCAN__SCAN_AUTO) {
    is = c->scan;
    if (strcmp(is, "chain") == 0) *scan = RETNET__SCAN__SCAN_CHAIN;
    if (strcmp(is, "doubling") == 0) *scan = RETNET__SCAN__SCAN_DOUBLING;
  }
  if (c->layout.sequence > 1) report("scan", c->scan, rule, is);
}

rn_status rn_choices_apply(rn_err *err, rn_world *world, const rn_choices *choices,
                           rn_choices_now now, int *chunk) {
  if (!choices->stored) return RN_OK;
  const bool same = same_layout(&choices->layout, now.layout);
  const bool same_products = now.config->model->products == RETNET__PRODUCTS__PRODUCTS_AUTO &&
                             choices->products_key == RETNET__PRODUCTS__PRODUCTS_AUTO &&
                             choices->precision_key == now.config->train->precision;
  apply_chunk(choices, &now, same, chunk);
  return apply_sets(err, world, choices, now.config, same, same && same_products);
}
