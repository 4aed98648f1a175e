/*
 * Lets calls of the C library, of other libraries and of MPI fail. The linker redirects these calls
 * of the project's object files to the functions __wrap_* in this file (--wrap); calls inside
 * libraries are not affected. wrapped.def lists the functions, except those with kinds of faults of
 * their own (open, read, pread, write, pwrite, fcntl), which are at the end of this file.
 *
 *   RETNET_INJECT="RANK FUNCTION@PLACE N KIND"
 *       On one rank, the N-th pass (from 1) through one call of a function is disturbed; PLACE is
 *       the hexadecimal return address of the call, relative to the program, as in RETNET_PASSES.
 *       "N+" stands for the N-th pass and all later ones. KIND is the name of an error (EIO); or
 *       slow=MS, which delays the pass by MS milliseconds; or short, which makes a read or a write
 *       transfer half of its bytes.
 *   RETNET_INJECTED=FILE
 *       If a fault was injected, FILE is created.
 *   RETNET_PASSES=FILE
 *       At exit, a line "SITE FUNCTION@PLACE PASSES" is written to FILE.RANK for each call that
 *       was executed at least once.
 *
 * Descriptors, mappings and MPI objects that the program still holds at its end are named on
 * standard error (held.h), except if it ends by MPI_Abort: then the system frees them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "data/file/json_text.h"
#include "tests/support/held.h"

enum { MAX_PLACES = 4096 };

extern char __executable_start, etext;

typedef struct place {
  const char *site, *function;
  uintptr_t address;
  long passes;
} place;

static struct {
  pthread_mutex_t lock;
  place place[MAX_PLACES];
  bool is_parsed, is_here; /* is_here: this process is the rank that RETNET_INJECT names */
  char function[64], kind[32];
  uintptr_t address;
  long first, last;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int rank_of_process(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (getenv(names[i]) != NULL) return atoi(getenv(names[i]));
  }
  return 0;
}

static void parse(void) {
  const char *order = getenv("RETNET_INJECT");
  state.is_parsed = true;
  int rank;
  char pass[32], *end;
  if (order == NULL) return;
  if (sscanf(order, "%d %63[^@]@%lx %31s %31s", &rank, state.function, &state.address, pass,
             state.kind) != 5) {
    fprintf(stderr, "RETNET_INJECT: cannot parse '%s'\n", order);
    abort();
  }
  state.first = state.last = strtol(pass, &end, 10);
  if (*end == '+') state.last = LONG_MAX;
  state.is_here = rank == rank_of_process();
}

/* Counts a pass through a call. Returns its number, from 1. */
static long count_pass(const char *site, const char *function, uintptr_t address) {
  for (size_t at = address % MAX_PLACES, tries = 0; tries < MAX_PLACES; tries++) {
    place *p = &state.place[(at + tries) % MAX_PLACES];
    if (p->function == NULL) *p = (place){site, function, address, 0};
    if (p->address == address && strcmp(p->function, function) == 0) return ++p->passes;
  }
  abort();
}

static void write_file(const char *path, const char *text, int flags) {
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | flags, 0666);
  const ssize_t length = (ssize_t)strlen(text);
  if (fd < 0 || syscall(SYS_write, fd, text, length) != length) abort();
  syscall(SYS_close, fd);
}

/* Writes RETNET_PASSES. */
__attribute__((destructor)) static void write_passes(void) {
  const char *file = getenv("RETNET_PASSES");
  if (file == NULL) return;
  char path[PATH_MAX], line[256];
  snprintf(path, sizeof path, "%s.%d", file, rank_of_process());
  write_file(path, "", O_TRUNC);
  for (const place *p = state.place; p < state.place + MAX_PLACES; p++) {
    if (p->function == NULL) continue;
    snprintf(line, sizeof line, "%s %s@%lx %ld\n", p->site, p->function, (unsigned long)p->address,
             p->passes);
    write_file(path, line, O_APPEND);
  }
}

__attribute__((destructor)) static void report_held(void) {
  held_report(rank_of_process());
}

static void note_injected(void) {
  const char *file = getenv("RETNET_INJECTED");
  if (file != NULL) write_file(file, state.kind, O_TRUNC);
}

static int error_of(const char *kind) {
  static const struct {
    const char *name;
    int error;
  } errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EDQUOT", EDQUOT}, {"EROFS", EROFS},
                {"EFBIG", EFBIG},   {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EMFILE", EMFILE},
                {"ESTALE", ESTALE}, {"EINTR", EINTR},   {"EAGAIN", EAGAIN}, {"EPERM", EPERM}};
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (strcmp(kind, errors[i].name) == 0) return errors[i].error;
  }
  fprintf(stderr, "RETNET_INJECT: unknown kind %s\n", kind);
  abort();
}

typedef enum { PASS, FAIL, SHORTEN } verdict;

/* Returns the address of a call relative to the program; 0 for a callback of a library. */
static uintptr_t place_of(const void *caller) {
  if ((uintptr_t)caller >= (uintptr_t)&etext) return 0;
  return (uintptr_t)caller - (uintptr_t)&__executable_start;
}

/* Counts a call through a site and decides what happens to it. If the result is FAIL, errno is set.
 */
static verdict decide(const char *site, const char *function, const void *caller) {
  const int kept = errno;
  /* Functions in .preinit_array run before the C library knows the environment. */
  if (environ == NULL) return PASS;
  const uintptr_t address = place_of(caller);
  pthread_mutex_lock(&state.lock);
  if (!state.is_parsed) parse();
  const long pass = count_pass(site, function, address);
  pthread_mutex_unlock(&state.lock);
  errno = kept;
  if (!state.is_here || address != state.address || pass < state.first || pass > state.last ||
      strcmp(function, state.function) != 0)
    return PASS;
  note_injected();
  if (strncmp(state.kind, "slow=", 5) == 0) {
    const long ms = atol(state.kind + 5);
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    errno = kept;
    return PASS;
  }
  errno = kept;
  if (strcmp(state.kind, "short") == 0) return SHORTEN;
  errno = error_of(state.kind);
  return FAIL;
}

/* ---- wrappers that either call the real function or fail ---- */

/* Sets the error indicator of a stream (glibc). Returns EOF. */
static int mark_failed(FILE *file) {
  enum { ERROR_SEEN = 0x20 };
  if (file != NULL) file->_flags |= ERROR_SEEN;
  return EOF;
}

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))
#define WRAP(site, type, name, parameters, arguments, failure)                         \
  type __wrap_##name parameters;                                                       \
  type __wrap_##name parameters {                                                      \
    return decide(#site, #name, CALLER) == FAIL ? (failure) : __real_##name arguments; \
  }
#define F(site, type, name, parameters, arguments, failure) \
  type __real_##name parameters;                            \
  WRAP(site, type, name, parameters, arguments, failure)
/* The functions of MPI are weak references: programs without MPI are not linked with it. */
#define M(site, type, name, parameters, arguments, failure) \
  type __real_##name parameters __attribute__((weak));      \
  WRAP(site, type, name, parameters, arguments, failure)
#define HOLD(kind, handle) held_add(HELD_##kind, (uintptr_t)(handle), called, place_of(caller))
#define H(site, type, name, parameters, arguments, failure, note) \
  type __real_##name parameters __attribute__((weak));            \
  type __wrap_##name parameters;                                  \
  type __wrap_##name parameters {                                 \
    const char *const called = #name;                             \
    const void *const caller = CALLER;                            \
    if (decide(#site, called, caller) == FAIL) return (failure);  \
    type result = __real_##name arguments;                        \
    note;                                                         \
    return result;                                                \
  }
#define D(site, type, name, parameters, arguments, failure, kind, handle)              \
  type __real_##name parameters __attribute__((weak));                                 \
  type __wrap_##name parameters;                                                       \
  type __wrap_##name parameters {                                                      \
    held_remove(HELD_##kind, (uintptr_t)(handle));                                     \
    return decide(#site, #name, CALLER) == FAIL ? (failure) : __real_##name arguments; \
  }
#include "tests/support/wrapped.def"

/* ---- functions that can be shortened, or that have variable arguments ---- */

/* Counts a pass through a read or write of *bytes bytes. Halves *bytes if the transfer must be
 * short; returns false if it must fail. */
static bool may_transfer(const char *site, const char *function, const void *caller,
                         size_t *bytes) {
  const verdict v = decide(site, function, caller);
  if (v == SHORTEN && *bytes > 1) *bytes /= 2;
  return v != FAIL;
}

ssize_t __real_read(int fd, void *data, size_t bytes);
ssize_t __wrap_read(int fd, void *data, size_t bytes);
ssize_t __wrap_read(int fd, void *data, size_t bytes) {
  if (!may_transfer("read", "read", CALLER, &bytes)) return -1;
  return __real_read(fd, data, bytes);
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes) {
  if (!may_transfer("write", "write", CALLER, &bytes)) return -1;
  return __real_write(fd, data, bytes);
}

ssize_t __real_pread(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t bytes, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t bytes, off_t offset) {
  if (!may_transfer("read", "pread", CALLER, &bytes)) return -1;
  return __real_pread(fd, data, bytes, offset);
}

ssize_t __real_pwrite(int fd, const void *data, size_t bytes, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t offset) {
  if (!may_transfer("write", "pwrite", CALLER, &bytes)) return -1;
  return __real_pwrite(fd, data, bytes, offset);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if (decide("open", "open", CALLER) == FAIL) return -1;
  const int fd = __real_open(path, flags, mode);
  if (fd >= 0) held_add(HELD_DESCRIPTOR, (uintptr_t)fd, "open", place_of(CALLER));
  return fd;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  return decide("lock", "fcntl", CALLER) == FAIL ? -1 : __real_fcntl(fd, command, argument);
}
