#include "model/kernel/kernels.h"

rn_kernels rn_kernels_pick(void) {
  rn_kernels table;
  rn_kernels_ref(&table);
  return table;
}
