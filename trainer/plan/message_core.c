#include "trainer/plan/message_core.h"

#include <math.h>
#include <stdio.h>

#include "comm/scan/scan_cost.h"
#include "comm/world/comm_thread.h"
#include "trainer/parallel/shapes.h"

/* Fraction of a layer's work that runs while its scan is in flight: in forward, the q, g
 * projections and the terms within chunks; in backward, the terms within chunks and the weight
 * gradients. */
static const double hidden = 0.25;

/* Fraction of a layer's work that is forward. Backward costs twice as much, because it computes
 * gradients of inputs and of weights. */
static const double forward = 1.0 / 3;

/* CPU seconds of one poll, including waking up and going back to sleep. */
static const double poll_cpu_s = 3e-6;

/* Cost of a message between nodes: 5 us latency, 10 GB/s; states are combined at 5 GB/s. */
static const rn_scan_cost network = {.latency_s = 5e-6, .byte_s = 1e-10, .combine_s = 2e-10};

static double travel_s(rn_message_core_case c, double poll_s) {
  const int64_t block = rn_scan_cost_block(network, c.ranks, c.state_bytes);
  return (c.ranks - 1) * poll_s / 2 +
         rn_scan_cost_s(network, RN_SCAN_PIPELINED, c.ranks, c.state_bytes, block);
}

double rn_message_core_layer_s(rn_message_core_case c, bool left) {
  const double poll_s = left ? 0 : 1e-6 * RN_COMM_THREAD_POLL_US;
  const double work_s = c.layer_flops / (c.flops_per_s * (left ? c.cores - 1 : c.cores));
  const double in_flight_s = hidden * work_s, scan_s = travel_s(c, poll_s);
  const double exposed_s =
      fmax(0, scan_s - forward * in_flight_s) + fmax(0, scan_s - (1 - forward) * in_flight_s);
  return work_s + exposed_s + (left ? 0 : in_flight_s * poll_cpu_s / poll_s);
}

bool rn_message_core_wins(rn_message_core_case c) {
  if (c.ranks < 2 || c.cores < 2) return false;
  return rn_message_core_layer_s(c, true) < rn_message_core_layer_s(c, false);
}

static rn_message_core_case case_of(const Retnet__Config *config, const rn_spec *spec,
                                    const rn_layout *l, int cores) {
  enum { GFLOPS_FP32 = 50, GFLOPS_BF16 = 150 }; /* rate of one core in matrix products */
  const bool bf16 = config->train->precision == RETNET__PRECISION__PRECISION_BF16;
  const double rows = (double)l->microbatch * rn_shapes_tokens(config, l);
  return (rn_message_core_case){
      .cores = cores,
      .ranks = l->sequence,
      .layer_flops = rows * rn_spec_layer_flops(spec),
      .state_bytes = rn_scan_source_state_bytes(spec, rn_shapes_scan(config, l, 1)),
      .flops_per_s = 1e9 * (bf16 ? GFLOPS_BF16 : GFLOPS_FP32)};
}

static void explain(rn_message_core_case c, bool left, rn_machine *machine) {
  const double with_s = rn_message_core_layer_s(c, true),
               without_s = rn_message_core_layer_s(c, false);
  snprintf(machine->threads_reason, sizeof machine->threads_reason,
           "%s: a layer is estimated to take %.3g ms with a core for messages, %.3g ms without",
           left ? "one core is reserved for messages" : "no core is reserved for messages",
           1e3 * with_s, 1e3 * without_s);
}

rn_status rn_message_core_apply(rn_err *err, const Retnet__Config *config, const rn_spec *spec,
                                int ranks, rn_machine *machine) {
  rn_layout layout;
  if (machine->threads_given || machine->threads < 2 ||
      config->parallel->comm_thread == RETNET__SWITCH__SWITCH_OFF) {
    return RN_OK;
  }
  RN_TRY(err, rn_layout_resolve(err, config, spec->layers, ranks, &layout));
  if (layout.sequence < 2) return RN_OK;
  const rn_message_core_case c = case_of(config, spec, &layout, machine->threads);
  const bool left = rn_message_core_wins(c);
  explain(c, left, machine);
  if (left) machine->threads--;
  return RN_OK;
}
