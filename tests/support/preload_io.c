/*
 * LD_PRELOAD library: logs a program's file operations in order, and simulates short transfers, a
 * full disk and a kill at any of these operations. It affects only paths below RETNET_IO_UNDER.
 *
 *   RETNET_IO_LOG=FILE    log file with lines "create PATH", "mkdir PATH", "write PATH",
 *                         "fsync PATH", "rename FROM TO", "exchange FROM TO", "unlink PATH";
 *                         paths are absolute
 *   RETNET_IO_SHORT=1     every read and write of two bytes or more transfers half of them
 *   RETNET_IO_FULL=BYTES  this process can write BYTES bytes; further writes fail with ENOSPC
 *   RETNET_IO_KILL=N      kills the process (SIGKILL) before its N-th operation that changes the
 *                         file system, or, if this is a write, after half of its bytes. The log
 *                         ends with "kill OPERATION PATH"
 *   RETNET_IO_USR1=TEXT   sends USR1 to the process before it removes a path that ends with TEXT
 *   RETNET_IO_NO_EXCHANGE=1  renameat2 cannot exchange two paths and fails with EINVAL, as on NFS
 *
 * A rename or unlink is logged before the call, any other operation after it. Therefore every
 * operation that is logged before a rename has been completed before it, in any process.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_llong written, operations;

#define REAL(name, ...) ((__typeof__(&name))(size_t)dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

/* Declarations for functions that the headers may hide or rename. */
int open64(const char *path, int flags, ...);
ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at);
ssize_t pread64(int fd, void *data, size_t bytes, off_t at);
int ftruncate64(int fd, off_t bytes);

static bool is_ours(const char *path) {
  const char *under = getenv("RETNET_IO_UNDER");
  return under != NULL && strncmp(path, under, strlen(under)) == 0;
}

static void note(const char *what, const char *path, const char *other) {
  const char *log = getenv("RETNET_IO_LOG");
  char line[3 * PATH_MAX];
  if (log == NULL || !is_ours(path)) return;
  const int kept = errno;
  const int length =
      snprintf(line, sizeof line, "%s %s%s%s\n", what, path, other[0] != '\0' ? " " : "", other);
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (fd < 0 || syscall(SYS_write, fd, line, length) != length) abort();
  syscall(SYS_close, fd);
  errno = kept;
}

/* Writes the absolute path to `out`. The last component need not exist. */
static void absolute(const char *path, char out[PATH_MAX]) {
  char folder[PATH_MAX], real[PATH_MAX];
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
           slash != NULL ? path : ".");
  if (realpath(folder, real) == NULL) snprintf(real, sizeof real, "?");
  if (snprintf(out, PATH_MAX, "%s/%s", real, slash != NULL ? slash + 1 : path) >= PATH_MAX) abort();
}

static bool path_of(int fd, char out[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, out, PATH_MAX - 1);
  if (length <= 0 || out[0] != '/') return false;
  out[length] = '\0';
  return is_ours(out);
}

static void note_fd(const char *what, int fd) {
  char path[PATH_MAX];
  if (path_of(fd, path)) note(what, path, "");
}

/* Counts an operation on `path`. If the process must be killed at this operation, writes a line to
 * the log and returns true. */
static bool must_die(const char *what, const char *path) {
  const char *last = getenv("RETNET_IO_KILL");
  if (last == NULL || !is_ours(path)) return false;
  if (atomic_fetch_add(&operations, 1) + 1 != atoll(last)) return false;
  char kill_what[32];
  snprintf(kill_what, sizeof kill_what, "kill %s", what);
  note(kill_what, path, "");
  return true;
}

/* Kills the process if `what` is its last operation. `path` need not be absolute. */
static void die_at(const char *what, const char *path) {
  char whole[PATH_MAX];
  if (getenv("RETNET_IO_KILL") == NULL) return;
  absolute(path, whole);
  if (must_die(what, whole)) raise(SIGKILL);
}

static void die_at_fd(const char *what, int fd) {
  char path[PATH_MAX];
  if (getenv("RETNET_IO_KILL") != NULL && path_of(fd, path) && must_die(what, path)) raise(SIGKILL);
}

/* Does the same as die_at_fd for a write, but first writes half of the data at offset `at` or, if
 * `at` is negative, at the file's position. */
static void die_at_write(int fd, const void *data, size_t bytes, off_t at) {
  char path[PATH_MAX];
  if (getenv("RETNET_IO_KILL") == NULL || !path_of(fd, path) || !must_die("write", path)) return;
  const ssize_t done =
      at < 0 ? REAL(write, fd, data, bytes / 2) : REAL(pwrite, fd, data, bytes / 2, at);
  (void)done;
  raise(SIGKILL);
}

/* Returns how many of `bytes` this call may transfer according to the environment variables.
 * Returns -1 with errno ENOSPC if it may transfer none. */
static ssize_t left_of(int fd, size_t bytes, bool writes) {
  char path[PATH_MAX];
  const char *full = getenv("RETNET_IO_FULL");
  if (!path_of(fd, path)) return (ssize_t)bytes;
  if (getenv("RETNET_IO_SHORT") != NULL && bytes > 1) bytes /= 2;
  if (full == NULL || !writes) return (ssize_t)bytes;
  const long long room = atoll(full) - atomic_load(&written);
  if (room <= 0) {
    errno = ENOSPC;
    return -1;
  }
  if ((long long)bytes > room) bytes = (size_t)room;
  atomic_fetch_add(&written, (long long)bytes);
  return (ssize_t)bytes;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  const ssize_t left = left_of(fd, bytes, true);
  if (left < 0) return -1;
  die_at_write(fd, data, (size_t)left, -1);
  const ssize_t done = REAL(write, fd, data, (size_t)left);
  note_fd("write", fd);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
  const ssize_t left = left_of(fd, bytes, true);
  if (left < 0) return -1;
  die_at_write(fd, data, (size_t)left, at);
  const ssize_t done = REAL(pwrite, fd, data, (size_t)left, at);
  note_fd("write", fd);
  return done;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at) {
  return pwrite(fd, data, bytes, at);
}

ssize_t read(int fd, void *data, size_t bytes) {
  return REAL(read, fd, data, (size_t)left_of(fd, bytes, false));
}

ssize_t pread(int fd, void *data, size_t bytes, off_t at) {
  return REAL(pread, fd, data, (size_t)left_of(fd, bytes, false), at);
}

ssize_t pread64(int fd, void *data, size_t bytes, off_t at) {
  return pread(fd, data, bytes, at);
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  struct stat info;
  char whole[PATH_MAX];
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  const bool is_new = (flags & O_CREAT) != 0 && lstat(path, &info) != 0;
  if (is_new)
    die_at("create", path);
  else if ((flags & O_TRUNC) != 0)
    die_at("truncate", path);
  const int fd = REAL(open, path, flags, mode);
  if (fd >= 0 && is_new) {
    absolute(path, whole);
    note("create", whole, "");
  }
  return fd;
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
  char whole[PATH_MAX];
  die_at("mkdir", path);
  const int result = REAL(mkdir, path, mode);
  if (result == 0) {
    absolute(path, whole);
    note("mkdir", whole, "");
  }
  return result;
}

int fsync(int fd) {
  die_at_fd("fsync", fd);
  const int result = REAL(fsync, fd);
  if (result == 0) note_fd("fsync", fd);
  return result;
}

int fdatasync(int fd) {
  die_at_fd("fsync", fd);
  const int result = REAL(fdatasync, fd);
  if (result == 0) note_fd("fsync", fd);
  return result;
}

int rename(const char *from, const char *to) {
  char a[PATH_MAX], b[PATH_MAX];
  absolute(from, a);
  absolute(to, b);
  note("rename", a, b);
  die_at("rename", to);
  return REAL(rename, from, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
  char a[PATH_MAX], b[PATH_MAX];
  absolute(from, a);
  absolute(to, b);
  note(flags == RENAME_EXCHANGE ? "exchange" : "rename", a, b);
  die_at("rename", to);
  if (flags == RENAME_EXCHANGE && getenv("RETNET_IO_NO_EXCHANGE") != NULL) {
    errno = EINVAL;
    return -1;
  }
  return REAL(renameat2, from_fd, from, to_fd, to, flags);
}

static void signal_at_removal(const char *path) {
  const char *end = getenv("RETNET_IO_USR1");
  if (end == NULL || !is_ours(path) || strlen(path) < strlen(end)) return;
  if (strcmp(path + strlen(path) - strlen(end), end) == 0) kill(getpid(), SIGUSR1);
}

int remove(const char *path) {
  char whole[PATH_MAX];
  absolute(path, whole);
  note("unlink", whole, "");
  signal_at_removal(whole);
  die_at("unlink", path);
  return REAL(remove, path);
}

int unlink(const char *path) {
  char whole[PATH_MAX];
  absolute(path, whole);
  note("unlink", whole, "");
  die_at("unlink", path);
  return REAL(unlink, path);
}

int link(const char *from, const char *to) {
  die_at("link", to);
  return REAL(link, from, to);
}

int ftruncate(int fd, off_t bytes) {
  die_at_fd("truncate", fd);
  return REAL(ftruncate, fd, bytes);
}

int ftruncate64(int fd, off_t bytes) {
  return ftruncate(fd, bytes);
}
