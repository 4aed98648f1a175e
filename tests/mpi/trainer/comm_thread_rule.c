/*
 * Checks when parallel.comm_thread=auto starts a communication thread. It starts none if no
 * messages are sent, or if the ranks have fewer cores than compute threads. It always starts one if
 * a core is left over. If there are just enough cores, it starts one only if ranks share sequences.
 * `on` always starts one, `off` never does.
 */
#include "comm/world/cores.h"
#include "tests/support/check.h"
#include "trainer/launch/launch.h"

#define AUTO RETNET__SWITCH__SWITCH_AUTO

static rn_err err;
static rn_world *world;

static bool starts(Retnet__Switch wanted, int threads, bool sends, bool scans) {
  rn_comm_thread *thread = NULL;
  CHECK_OK(&err, rn_launch_comm_thread(
                     &err, world, (rn_comm_thread_use){wanted, threads, sends, scans}, &thread));
  const bool started = thread != NULL;
  rn_comm_thread_stop(&thread);
  return started;
}

int main(int argc, char **argv) {
  rn_cores cores;
  int64_t least = 0;
  rn_status status = rn_world_start_serialized(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  if (rn_world_level(world) < MPI_THREAD_SERIALIZED) {
    puts("SKIPPED: MPI provides no MPI_THREAD_SERIALIZED");
    return rn_world_finish(&world, RN_OK, &err) + 77;
  }
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  least = -(cores.cores / cores.sharing); /* negated: the maximum gives the minimum */
  CHECK_OK(&err, rn_world_max(&err, world, &least, 1));
  const int fitting = (int)-least; /* number of threads for which each rank has cores; may be 0 */
  const bool sends = rn_world_size(world) > 1;

  CHECK(!starts(AUTO, fitting + 1, sends, sends));
  CHECK(starts(RETNET__SWITCH__SWITCH_ON, fitting + 1, true, true));
  CHECK(!starts(RETNET__SWITCH__SWITCH_OFF, 1, true, true));
  CHECK(!starts(AUTO, 1, false, false));
  if (fitting > 0) {
    CHECK(starts(AUTO, fitting, true, true));
    CHECK(!starts(AUTO, fitting, true, false) || cores.cores > fitting * cores.sharing);
  }
  if (fitting > 1) CHECK(starts(AUTO, fitting - 1, true, false));
  return rn_world_finish(&world, RN_OK, &err) + check_result();
}
