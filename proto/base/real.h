/**
 * Defines rn_real, the floating-point type of numerical code. This code is compiled twice, for
 * float and for double.
 *
 * Only the float build is installed; tests and golden_check use the double build. Each folder that
 * is compiled twice lists its public functions in a names header (model/base/precision_names.h),
 * which adds the suffix of the precision, so that both builds can be linked into one program.
 */
#ifndef RN_PROTO_BASE_REAL_H
#define RN_PROTO_BASE_REAL_H

#ifdef RN_REAL_F64
typedef double rn_real;
#define RN_NAME(name) name##_f64
#else
typedef float rn_real;
#define RN_NAME(name) name##_f32
#endif

#endif
