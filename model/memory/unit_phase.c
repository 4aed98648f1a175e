#include "model/memory/unit_phase.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

const char *rn_unit_phase_name(rn_unit_phase phase) {
  static const char *const name[RN_UNIT_PHASES] = {
      [RN_UNIT_PHASE_RETENTION_NORM] = "retention norm",
      [RN_UNIT_PHASE_KV] = "kv",
      [RN_UNIT_PHASE_STATES] = "states",
      [RN_UNIT_PHASE_QG] = "qg",
      [RN_UNIT_PHASE_INNER] = "inner",
      [RN_UNIT_PHASE_CROSS] = "cross",
      [RN_UNIT_PHASE_OUT] = "out",
      [RN_UNIT_PHASE_FFN_NORM] = "ffn norm",
      [RN_UNIT_PHASE_FFN] = "ffn",
      [RN_UNIT_PHASE_RESIDUAL] = "residual",
      [RN_UNIT_PHASE_D_RESIDUAL] = "d residual",
      [RN_UNIT_PHASE_D_FFN] = "d ffn",
      [RN_UNIT_PHASE_D_FFN_NORM] = "d ffn norm",
      [RN_UNIT_PHASE_FFN_WEIGHT] = "ffn weight",
      [RN_UNIT_PHASE_D_RETENTION] = "d retention",
      [RN_UNIT_PHASE_D_OUT] = "d out",
      [RN_UNIT_PHASE_OUT_WEIGHT] = "out weight",
      [RN_UNIT_PHASE_D_STATES] = "d states",
      [RN_UNIT_PHASE_SCAN_WEIGHT] = "scan weight",
      [RN_UNIT_PHASE_D_INNER] = "d inner",
      [RN_UNIT_PHASE_D_CROSS] = "d cross",
      [RN_UNIT_PHASE_D_QKVG] = "d qkvg",
      [RN_UNIT_PHASE_D_RETENTION_NORM] = "d retention norm",
      [RN_UNIT_PHASE_QKVG_WEIGHT] = "qkvg weight",
      [RN_UNIT_PHASE_EMBED] = "embed",
      [RN_UNIT_PHASE_HEAD] = "head",
      [RN_UNIT_PHASE_D_EMBED] = "d embed"};
  assert(0 <= (int)phase && phase < RN_UNIT_PHASES);
  return name[phase];
}

static bool has(rn_phase_set phases, int phase) {
  return phase >= 0 && phase < RN_UNIT_PHASES && (phases >> phase & 1) != 0;
}

void rn_unit_phases_text(rn_phase_set phases, char text[RN_UNIT_PHASES_TEXT_BYTES]) {
  const int size = RN_UNIT_PHASES_TEXT_BYTES;
  int used = 0;
  text[0] = '\0';
  for (int phase = 0; phase < RN_UNIT_PHASES && used < size; phase++) {
    const bool first = has(phases, phase) && !has(phases, phase - 1);
    const bool last = has(phases, phase) && !has(phases, phase + 1);
    if (!first && !last) continue;
    const char *before = !first ? " .. " : used > 0 ? ", " : "";
    used += snprintf(text + used, (size_t)(size - used), "%s%s", before,
                     rn_unit_phase_name((rn_unit_phase)phase));
  }
}
