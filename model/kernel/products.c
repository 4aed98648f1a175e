/* Which provider makes the products: the one asked for, or the rule's. */
#include "model/kernel/products.h"

#include <stddef.h>

#include "model/kernel/providers.h"

static const rn_products *const providers[] = {
    &rn_products_cblas,
#ifdef RN_ONEDNN_SERVES
    &rn_products_onednn,
    &rn_products_mixed,
#endif
};

static const rn_products *in_use;

static const rn_products *by_rule(void) {
#if defined(RN_ONEDNN_SERVES) && defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return &rn_products_mixed;
#endif
  return &rn_products_cblas;
}

const rn_products *rn_products_table(void) {
  return in_use != NULL ? in_use : by_rule();
}

/* bf16, or NULL with the reason why not. */
static const rn_products *in_bf16(const char **lack) {
#ifdef RN_ONEDNN_SERVES
  if (rn_products_bf16_serves()) return &rn_products_bf16;
  *lack = "this CPU has no instructions for it";
#else
  *lack = "this build lacks oneDNN (libdnnl-dev)";
#endif
  return NULL;
}

static rn_status use_bf16(rn_err *err, Retnet__Products products, const char **lack) {
  if (products == RETNET__PRODUCTS__PRODUCTS_OPENBLAS) {
    return rn_fail(err, RN_ERR_USAGE,
                   "train.precision: bf16 is not OpenBLAS's: leave model.products at auto");
  }
  in_use = in_bf16(lack);
  if (in_use == NULL) in_use = by_rule();
  return RN_OK;
}

rn_status rn_products_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                          const char **lack) {
  *lack = NULL;
  if (precision == RETNET__PRECISION__PRECISION_BF16) return use_bf16(err, products, lack);
  in_use = by_rule();
  if (products == RETNET__PRODUCTS__PRODUCTS_OPENBLAS) in_use = &rn_products_cblas;
  if (products != RETNET__PRODUCTS__PRODUCTS_ONEDNN) return RN_OK;
#ifdef RN_ONEDNN_SERVES
  in_use = &rn_products_onednn;
  return RN_OK;
#else
  return rn_fail(err, RN_ERR_USAGE,
                 "model.products: onednn is not in this build; leave it at auto, or install "
                 "oneDNN (libdnnl-dev) and build again");
#endif
}

const rn_products *rn_products_provider(int number) {
#ifdef RN_ONEDNN_SERVES
  if (in_use == &rn_products_bf16) return number == 0 ? in_use : NULL;
#endif
  const int count = (int)(sizeof providers / sizeof providers[0]);
  return number < count ? providers[number] : NULL;
}

const rn_products *rn_products_exchange(const rn_products *table) {
  const rn_products *before = rn_products_table();
  in_use = table;
  return before;
}
