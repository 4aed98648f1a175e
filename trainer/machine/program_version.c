#include "trainer/machine/program_version.h"

#include <stdio.h>
#include <zstd.h>

#include "comm/world/mpi_version.h"
#include "model/base/blas.h"
#include "proto/cli/version.h"

enum { LINE_BYTES = 512 };

static void describe_blas(char line[LINE_BYTES]) {
  rn_err err = {0};
  if (rn_blas_load(&err) == RN_OK) {
    snprintf(line, LINE_BYTES, "BLAS: %s, core type %s", rn_blas_config(), rn_blas_core());
  } else {
    snprintf(line, LINE_BYTES, "BLAS: none, %.400s", err.text);
  }
}

void rn_program_version(const char *program) {
  char mpi[LINE_BYTES], blas[LINE_BYTES], zstd[LINE_BYTES];
  const char *const lines[] = {mpi, blas, zstd};
  rn_mpi_version_line(mpi, sizeof mpi);
  describe_blas(blas);
  snprintf(zstd, sizeof zstd, "zstd: %s", ZSTD_versionString());
  rn_version_print(stdout, program, lines, (int)(sizeof lines / sizeof lines[0]));
}
