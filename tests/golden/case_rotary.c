/* Checks rotated rows at given positions, and the angles, in both conventions. */
#include <string.h>

#include "model/retention/rotary.h"
#include "tests/golden/run.h"

typedef struct rotary_case {
  int B, P, K;
  const double *position; /* [P] */
  const rn_real *x;       /* [B, P, K] */
  rn_real *rows;          /* [P, B, K]: for each position, B heads of one token */
} rotary_case;

static rn_status check_convention(rn_err *err, golden_case *c, const rotary_case *r, rn_rotary kind,
                                  const char *prefix) {
  double *theta;
  rn_real *out;
  rn_rotary_table table = {0};
  const int64_t count = (int64_t)r->B * r->P * r->K;
  RN_TRY(err, golden_take(err, c, r->K / 2, sizeof *theta, &theta));
  RN_TRY(err, golden_take(err, c, count, sizeof *out, &out));
  rn_spec_angles(kind, r->K, theta);
  RN_TRY(err, golden_compare(err, c, sizeof(rn_real) == sizeof(float) ? GOLDEN_F32 : GOLDEN_F64,
                             "angles", theta, GOLDEN_SHAPE_1(r->K / 2), "%s.theta", prefix));
  golden_swap(1, r->B, r->P, r->K, r->x, r->rows);
  RN_TRY(err, rn_rotary_create(err, kind, r->K, 1, &table));
  for (int p = 0; p < r->P; p++) {
    rn_rotary_move(&table, (int64_t)r->position[p], 1);
    rn_rotary_apply(&table, (rn_rotation){.tokens = 1, .heads = r->B, .scale = 1}, (rn_range){0, 1},
                    rn_matrix_of_reals(r->rows + (int64_t)p * r->B * r->K, r->B * r->K), NULL);
  }
  golden_swap(1, r->P, r->B, r->K, r->rows, out);
  rn_rotary_destroy(&table);
  RN_TRY(err, golden_check(err, c, "row by row", out, GOLDEN_SHAPE_3(r->B, r->P, r->K), "%s.out",
                           prefix));
  return RN_OK;
}

rn_status RN_NAME(golden_run_rotary)(rn_err *err, golden_case *c) {
  golden_shape shape;
  rn_real *x;
  int32_t *whole; /* only to check that positions are integers; r.position has doubles */
  RN_TRY(err, golden_shape_of(err, c, "in.x", 3, &shape));
  rotary_case r = {.B = (int)shape.n[0], .P = (int)shape.n[1], .K = (int)shape.n[2]};
  if (r.K % 2 != 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: in.x: rows of odd width cannot be rotated", c->path);
  }
  RN_TRY(err, golden_load_ids(err, c, "in.pos", GOLDEN_SHAPE_1(r.P), INT32_MAX, &whole));
  RN_TRY(err, golden_load(err, c, "in.pos", GOLDEN_SHAPE_1(r.P), &r.position));
  RN_TRY(err, golden_reals(err, c, "in.x", shape, &x));
  RN_TRY(err, golden_take(err, c, golden_count(shape), sizeof(rn_real), &r.rows));
  r.x = x;
  RN_TRY(err, check_convention(err, c, &r, RN_ROTARY_TORCHSCALE, "ts"));
  RN_TRY(err, check_convention(err, c, &r, RN_ROTARY_ROPE_HALF, "fla"));
  return RN_OK;
}
