#include "trainer/blas_care.h"

#include "model/blas.h"
#include "proto/log.h"

void rn_blas_tell(void) {
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
