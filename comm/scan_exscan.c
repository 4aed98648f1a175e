/* MPI_Exscan with the scan's own operation: short, slow, and the oracle of the tests. */
#include <math.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "comm/scan.h"
#include "proto/arena.h"

/* One MPI element is one head: {double log a; float X[m]}. */
static size_t element_bytes(int64_t m) {
  return sizeof(double) + (size_t)m * sizeof(float);
}

/* right = left then right; MPI hands over whole elements. */
static void compose(void *left, void *right, int *count, MPI_Datatype *type) {
  int bytes = 0;
  MPI_Type_size(*type, &bytes);
  const int64_t m = ((int64_t)bytes - (int64_t)sizeof(double)) / (int64_t)sizeof(float);
  for (int i = 0; i < *count; i++) {
    char *a = (char *)left + (size_t)i * (size_t)bytes,
         *b = (char *)right + (size_t)i * (size_t)bytes;
    double log_a, log_b;
    memcpy(&log_a, a, sizeof log_a);
    memcpy(&log_b, b, sizeof log_b);
    const float factor = (float)exp(log_b);
    for (int64_t e = 0; factor != 0 && e < m; e++) {
      float x, y;
      memcpy(&x, a + sizeof(double) + (size_t)e * sizeof x, sizeof x);
      memcpy(&y, b + sizeof(double) + (size_t)e * sizeof y, sizeof y);
      y += factor * x;
      memcpy(b + sizeof(double) + (size_t)e * sizeof y, &y, sizeof y);
    }
    log_b += log_a;
    memcpy(b, &log_b, sizeof log_b);
  }
}

rn_status rn_scan_exscan_create(rn_err *err, rn_chain *chain) {
  RN_MPI(err, MPI_Op_create(compose, 0, &chain->compose));
  return rn_alloc(err, "scan elements", 2 * (size_t)chain->max_n, element_bytes(chain->max_m),
                  &chain->elements);
}

rn_status rn_scan_exscan(rn_err *err, rn_chain *chain) {
  const int n = chain->n;
  const size_t bytes = element_bytes(chain->m), row = (size_t)chain->m * sizeof(float);
  char *mine = chain->elements, *before = mine + (size_t)n * bytes;
  MPI_Datatype element;
  for (int i = 0; i < n; i++) {
    memcpy(mine + (size_t)i * bytes, &chain->log_decay[i], sizeof(double));
    memcpy(mine + (size_t)i * bytes + sizeof(double), chain->own + i * chain->m, row);
  }
  RN_MPI(err, MPI_Type_contiguous((int)bytes, MPI_BYTE, &element));
  RN_MPI(err, MPI_Type_commit(&element));
  rn_status status = RN_MPI_STATUS(
      err, MPI_Exscan(mine, before, n, element, chain->compose, chain->axis[chain->direction]));
  MPI_Type_free(&element);
  if (status != RN_OK) return status;
  const bool first = chain->position[chain->direction] == 0;
  if (chain->position[chain->direction] < chain->size - 1) {
    chain->bytes_sent += (int64_t)n * (int64_t)bytes;
  }
  for (int i = 0; i < n; i++) {
    float *to = chain->before + i * chain->m;
    if (first) {
      memset(to, 0, row);
    } else {
      memcpy(to, before + (size_t)i * bytes + sizeof(double), row);
    }
  }
  return RN_OK;
}
