#include "trainer/profile/profile.h"

#include "proto/base/clock.h"
#include "proto/base/span.h"

/* Limits on the number of events of one rank and of all ranks together. An event takes about 100
 * bytes of trace.json. */
enum { MAX_EVENTS = 1 << 17, MAX_EVENTS_OF_ALL = 1 << 21 };

rn_status rn_profile_start(rn_err *err, const rn_parallel_context *parallel,
                           const rn_pipeline_schedule_shape *schedule, rn_profile *out) {
  rn_world *world = parallel->world;
  const int each = MAX_EVENTS_OF_ALL / rn_world_size(world);
  *out = (rn_profile){.parallel = parallel, .schedule = schedule};
  RN_TRY(err, rn_agree(err, world, rn_spans_start(err, each < MAX_EVENTS ? each : MAX_EVENTS)));
  RN_TRY(err, rn_world_barrier(err, world));
  out->origin_s = rn_clock_s();
  rn_spans_get()->keep_events = true;
  return RN_OK;
}

void rn_profile_step(rn_profile *profile) {
  rn_profile_sample_step(profile);
  profile->steps++;
  rn_spans_get()->keep_events = profile->steps < RN_PROFILE_TRACED;
}

rn_status rn_profile_finish(rn_err *err, const char *run_dir, const rn_profile *profile) {
  rn_profile_idle idle;
  RN_TRY(err, rn_profile_table(err, profile));
  RN_TRY(err, rn_profile_pipeline(err, profile, &idle));
  RN_TRY(err, rn_profile_trace(err, run_dir, profile));
  return RN_OK;
}
