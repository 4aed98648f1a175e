#include "trainer/launch/blas_check.h"

#include "model/base/blas.h"
#include "proto/base/log.h"

rn_status rn_blas_agree(rn_err *err, const rn_world *world, rn_status loaded, const rn_err *why) {
  *err = *why;
  return rn_agree(err, world, loaded);
}

void rn_blas_report(void) {
  char text[200];
  switch (rn_blas_chosen(text, sizeof text)) {
    case RN_BLAS_CHOSEN:
      rn_log_info("%s", text);
      break;
    case RN_BLAS_SLOW:
      rn_log_warn("%s", text);
      break;
    case RN_BLAS_AS_IS:
      break;
  }
}
