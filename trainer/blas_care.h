/** What a run tells of the kernels that OpenBLAS works with (model/blas.h). */
#ifndef RN_TRAINER_BLAS_CARE_H
#define RN_TRAINER_BLAS_CARE_H

/** Tells, once, that other kernels were chosen, or that a core type asked for is a slow one. */
void rn_blas_tell(void);

#endif
