#include "model/kernel/onednn_matmul.h"

#include <stddef.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3

/* In oneDNN 3, a memory descriptor is a handle, and there are no operation descriptors. */
typedef dnnl_memory_desc_t description;

static bool describe(const rn_onednn_matrix *m, description *out) {
  const dnnl_dims_t dims = {m->rows, m->cols}, strides = {m->row_stride, m->col_stride};
  if (m->packed) {
    return dnnl_memory_desc_create_with_tag(out, 2, dims, m->type, dnnl_BA16a64b2a) == dnnl_success;
  }
  return dnnl_memory_desc_create_with_strides(out, 2, dims, m->type, strides) == dnnl_success;
}

static void release(description *d) {
  if (*d != NULL) dnnl_memory_desc_destroy(*d);
}

static bool create_memory(dnnl_engine_t engine, const description *d, dnnl_memory_t *out) {
  return dnnl_memory_create(out, *d, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static bool append_sum(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef) == dnnl_success;
}

static bool create_plan(dnnl_engine_t engine, const description *abc, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *out) {
  return dnnl_matmul_primitive_desc_create(out, engine, abc[0], abc[1], NULL, abc[2], attr) ==
         dnnl_success;
}

#else

/* In oneDNN 2, a memory descriptor is a value, and a primitive also needs an operation
 * descriptor. */
typedef dnnl_memory_desc_t description;

static bool describe(const rn_onednn_matrix *m, description *out) {
  const dnnl_dims_t dims = {m->rows, m->cols}, strides = {m->row_stride, m->col_stride};
  if (m->packed) {
    return dnnl_memory_desc_init_by_tag(out, 2, dims, m->type, dnnl_BA16a64b2a) == dnnl_success;
  }
  return dnnl_memory_desc_init_by_strides(out, 2, dims, m->type, strides) == dnnl_success;
}

static void release(description *d) {
  (void)d;
}

static bool create_memory(dnnl_engine_t engine, const description *d, dnnl_memory_t *out) {
  return dnnl_memory_create(out, d, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static bool append_sum(dnnl_post_ops_t ops) {
  return dnnl_post_ops_append_sum(ops, 1) == dnnl_success;
}

static bool create_plan(dnnl_engine_t engine, const description *abc, dnnl_primitive_attr_t attr,
                        dnnl_primitive_desc_t *out) {
  dnnl_matmul_desc_t product;
  return dnnl_matmul_desc_init(&product, &abc[0], &abc[1], NULL, &abc[2]) == dnnl_success &&
         dnnl_primitive_desc_create(out, &product, attr, engine, NULL) == dnnl_success;
}

#endif

static bool create_attributes(bool add, dnnl_primitive_attr_t *attr, dnnl_post_ops_t *ops) {
  return dnnl_primitive_attr_create(attr) == dnnl_success &&
         dnnl_post_ops_create(ops) == dnnl_success && (!add || append_sum(*ops)) &&
         dnnl_primitive_attr_set_post_ops(*attr, *ops) == dnnl_success;
}

static bool is_brgemm(const_dnnl_primitive_desc_t plan) {
  const char *name = NULL;
  return dnnl_primitive_desc_query(plan, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
         strncmp(name, "brg", strlen("brg")) == 0;
}

static bool create_code(dnnl_engine_t engine, const description *abc, bool add,
                        rn_onednn_matmul *out) {
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t ops = NULL;
  dnnl_primitive_desc_t plan = NULL;
  const bool created = create_attributes(add, &attr, &ops) &&
                       create_plan(engine, abc, attr, &plan) &&
                       dnnl_primitive_create(&out->code, plan) == dnnl_success;
  out->is_brgemm = created && is_brgemm(plan);
  if (plan != NULL) dnnl_primitive_desc_destroy(plan);
  if (ops != NULL) dnnl_post_ops_destroy(ops);
  if (attr != NULL) dnnl_primitive_attr_destroy(attr);
  return created;
}

bool rn_onednn_matmul_create(dnnl_engine_t engine, rn_onednn_matrix a, rn_onednn_matrix b,
                             rn_onednn_matrix c, bool add, rn_onednn_matmul *out) {
  description abc[3] = {0};
  *out = (rn_onednn_matmul){0};
  const bool created =
      describe(&a, &abc[0]) && describe(&b, &abc[1]) && describe(&c, &abc[2]) &&
      create_code(engine, abc, add, out) && create_memory(engine, &abc[0], &out->a) &&
      create_memory(engine, &abc[1], &out->b) && create_memory(engine, &abc[2], &out->c);
  for (int i = 0; i < 3; i++) release(&abc[i]);
  if (!created) rn_onednn_matmul_destroy(out);
  return created;
}

void rn_onednn_matmul_destroy(rn_onednn_matmul *matmul) {
  if (matmul->code != NULL) dnnl_primitive_destroy(matmul->code);
  if (matmul->a != NULL) dnnl_memory_destroy(matmul->a);
  if (matmul->b != NULL) dnnl_memory_destroy(matmul->b);
  if (matmul->c != NULL) dnnl_memory_destroy(matmul->c);
  *matmul = (rn_onednn_matmul){0};
}
