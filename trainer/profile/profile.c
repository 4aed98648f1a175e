#include "trainer/profile/profile.h"

#include "proto/base/clock.h"
#include "proto/base/span.h"

/* Limits for the events of one rank and of all ranks; one takes some hundred bytes in the file. */
enum { MOST_EVENTS = 1 << 17, MOST_OF_ALL = 1 << 21 };

rn_status rn_profile_start(rn_err *err, rn_run *run, rn_profile *out) {
  const int each = MOST_OF_ALL / rn_world_size(run->parallel.world);
  *out = (rn_profile){0};
  RN_TRY(err, rn_agree(err, run->parallel.world,
                       rn_spans_start(err, each < MOST_EVENTS ? each : MOST_EVENTS)));
  RN_TRY(err, rn_world_barrier(err, run->parallel.world));
  out->origin_s = rn_clock_s();
  rn_spans_get()->keep_events = true;
  return RN_OK;
}

void rn_profile_step(rn_profile *profile) {
  rn_profile_sample_step(profile);
  profile->steps++;
  rn_spans_get()->keep_events = profile->steps < RN_PROFILE_TRACED;
}

rn_status rn_profile_finish(rn_err *err, rn_run *run, const rn_profile *profile) {
  rn_profile_idle idle;
  RN_TRY(err, rn_profile_table(err, run, profile));
  RN_TRY(err, rn_profile_pipeline(err, run, profile, &idle));
  RN_TRY(err, rn_profile_trace(err, run, profile));
  return RN_OK;
}
