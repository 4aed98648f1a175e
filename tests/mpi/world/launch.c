/*
 * Checks that a rank reports an error at start if the launcher's environment variables report more
 * ranks than MPI_COMM_WORLD contains, and that the message says how to launch. Checks that networks
 * are disabled only if all ranks are on one host, and shared memory only without a launcher.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "comm/world/mpi_check.h"
#include "comm/world/mpi_version.h"
#include "comm/world/world.h"
#include "tests/support/check.h"

/* The line that run_program prints without a launcher. */
#if defined OMPI_MAJOR_VERSION && OMPI_MAJOR_VERSION >= 5
#define ALONE "btl: ^sm\n"
#else
#define ALONE "btl: not set\n"
#endif

static rn_err err;

static int run_program(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  const char *btl = getenv("OMPI_MCA_btl");
  printf("btl: %s\n", btl != NULL ? btl : "not set");
  return rn_world_finish(&world, status, &err);
}

/* Starts this program as one rank, with the environment variables of a launcher. */
static int start(const char *self, const char *environment, char *output, size_t bytes) {
  char command[4096];
  snprintf(command, sizeof command, "%s '%s' program 2>&1", environment, self);
  FILE *program = popen(command, "r");
  if (!CHECK(program != NULL)) return -1;
  output[fread(output, 1, bytes - 1, program)] = '\0';
  const int code = pclose(program);
  return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

int main(int argc, char **argv) {
  static char output[65536];
  if (argc == 2) return run_program(argc, argv);
  CHECK_EQUAL(start(argv[0], "SLURM_STEP_NUM_TASKS=4", output, sizeof output), 2);
  CHECK(strstr(output, "wrong launch: SLURM_STEP_NUM_TASKS says 4 ranks") != NULL);
  CHECK(strstr(output, "srun --mpi=pmix") != NULL);
  CHECK_EQUAL(start(argv[0], "PMI_SIZE=3", output, sizeof output), 2);
  CHECK(strstr(output, "wrong launch: PMI_SIZE says 3 ranks") != NULL);
  CHECK_EQUAL(start(argv[0], "OMPI_COMM_WORLD_SIZE=2", output, sizeof output), 2);
  CHECK(strstr(output, "wrong launch: OMPI_COMM_WORLD_SIZE says 2 ranks") != NULL);
  CHECK_EQUAL(start(argv[0], "SLURM_STEP_NUM_TASKS=1 PMI_SIZE=1", output, sizeof output), 0);
#define OF_ONE "OMPI_COMM_WORLD_SIZE=1 OMPI_COMM_WORLD_LOCAL_SIZE=1 "
  CHECK(strstr(output, ALONE) != NULL);
  CHECK_EQUAL(start(argv[0], OF_ONE, output, sizeof output), 0);
  CHECK(strstr(output, "btl: ^tcp,ofi\n") != NULL);
  CHECK_EQUAL(start(argv[0], OF_ONE "OMPI_MCA_btl=self", output, sizeof output), 0);
  CHECK(strstr(output, "btl: self\n") != NULL);
  start(argv[0], "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=2", output, sizeof output);
  CHECK(strstr(output, "btl: not set") != NULL);
  char line[256];
  rn_mpi_version_line(line, sizeof line);
  CHECK(strncmp(line, "MPI: ", 5) == 0 && strlen(line) > 8 && strchr(line, '\n') == NULL);
  return check_result();
}
