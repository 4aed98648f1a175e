/** Defines how functions report errors: the return value is a status for the calling code, and
 * rn_err holds a text for the user. */
#ifndef RN_PROTO_BASE_STATUS_H
#define RN_PROTO_BASE_STATUS_H

#include <stdbool.h>

/*
 * X(name, exit code of a program that ends with this status, text for messages)
 *
 * If ranks fail with different statuses, they agree on the last one in this list (rn_agree).
 * Callers react to RN_ERR_FORMAT and RN_ERR_NOT_FOUND by using older data. They must not do so
 * while another rank failed for another reason, for example because a disk cannot be read at the
 * moment. Therefore, these two come first.
 */
#define RN_STATUS_LIST(X)                            \
  X(RN_OK, 0, "ok")                                  \
  X(RN_ERR_FORMAT, 1, "damaged or unknown data")     \
  X(RN_ERR_NOT_FOUND, 1, "not found")                \
  X(RN_ERR_USAGE, 2, "wrong usage or configuration") \
  X(RN_ERR_IO, 1, "input or output failed")          \
  X(RN_ERR_MEMORY, 1, "out of memory")               \
  X(RN_ERR_MPI, 1, "MPI failed")                     \
  X(RN_ERR_LIBRARY, 1, "a library failed")           \
  X(RN_ERR_MISMATCH, 1, "mismatch")                  \
  X(RN_ERR_BUSY, 1, "in use by another job")         \
  X(RN_ERR_WATCHDOG, 3, "no progress")               \
  X(RN_ERR_NUMERICS, 4, "numerical failure")

typedef enum {
#define RN_STATUS_ENUM(name, code, word) name,
  RN_STATUS_LIST(RN_STATUS_ENUM)
#undef RN_STATUS_ENUM
      RN_STATUS_COUNT
} rn_status;

enum { RN_ERR_TEXT_BYTES = 2048, RN_ERR_TRACE_BYTES = 2048 };

/** The first cause of an error (what, where, what to do) and the call trace; zero-initialize it. */
typedef struct rn_err {
  rn_status status;
  bool names_rank; /* the text begins with the rank that failed and its host (rn_agree) */
  char text[RN_ERR_TEXT_BYTES];
  char trace[RN_ERR_TRACE_BYTES];
} rn_err;

/** Records a cause, unless one is recorded already, and returns `status`. Control characters in the
 * text, which may come from names in files, are replaced by question marks. */
rn_status rn_fail(rn_err *err, rn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Adds one line "file:line" to the call trace and returns `status`. */
rn_status rn_trace(rn_err *err, rn_status status, const char *file, int line);

/** Clears the error, for a caller that has handled it. */
void rn_err_clear(rn_err *err);

/** These functions return the text of a status for messages, and the exit code of a program that
 * ends with this status. */
const char *rn_status_text(rn_status status);
int rn_status_exit_code(rn_status status);

/* Returns from the calling function if `call` fails. Use it only where the function holds no
 * resources; elsewhere use `goto fail`. */
#define RN_TRY(err, call)                                                      \
  do {                                                                         \
    rn_status rn_try_ = (call);                                                \
    if (rn_try_ != RN_OK) return rn_trace((err), rn_try_, __FILE__, __LINE__); \
  } while (0)

#endif
