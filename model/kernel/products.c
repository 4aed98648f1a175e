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

rn_status rn_products_use(rn_err *err, Retnet__Products products) {
  switch (products) {
    case RETNET__PRODUCTS__PRODUCTS_OPENBLAS:
      in_use = &rn_products_cblas;
      return RN_OK;
    case RETNET__PRODUCTS__PRODUCTS_ONEDNN:
#ifdef RN_ONEDNN_SERVES
      in_use = &rn_products_onednn;
      return RN_OK;
#else
      return rn_fail(err, RN_ERR_USAGE,
                     "model.products: onednn is not in this build; leave it at auto, or install "
                     "oneDNN (libdnnl-dev) and build again");
#endif
    default:
      (void)err;
      in_use = by_rule();
      return RN_OK;
  }
}

const rn_products *rn_products_provider(int number) {
  const int count = (int)(sizeof providers / sizeof providers[0]);
  return number < count ? providers[number] : NULL;
}

const rn_products *rn_products_exchange(const rn_products *table) {
  const rn_products *before = rn_products_table();
  in_use = table;
  return before;
}
