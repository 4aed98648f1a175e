/* Reads and writes POSIX files completely, with error messages for the user. */
#include "data/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/fault.h"
#include "proto/base/progress.h"

/* Returns advice to the user about a common error. */
static const char *advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there or choose another directory";
    case EACCES:
    case EPERM:
      return "; check its owner and permissions";
    case EROFS:
      return "; the file system is mounted read-only: choose another directory";
    case ENOENT:
    case ENOTDIR:
      return "; check the path, and whether the directory still exists";
    case EMFILE:
    case ENFILE:
      return "; raise the limit on the number of open files (ulimit -n)";
    case EFBIG:
      return "; raise the file size limit (ulimit -f), or use a file system that allows larger "
             "files";
    case EBUSY:
      return "; a program may still have a file open there";
    case EIO:
    case ESTALE:
      return "; check the disk or the network file system";
    default:
      return "";
  }
}

rn_status rn_file_fail(rn_err *err, const char *doing, const char *path, int error) {
  rn_status status = error == ENOENT || error == ENOTDIR ? RN_ERR_NOT_FOUND : RN_ERR_IO;
  return rn_fail(err, status, "cannot %s %s: %s%s", doing, path, strerror(error), advice(error));
}

rn_path rn_path_join(const char *folder, const char *name) {
  rn_path path;
  snprintf(path.text, sizeof path.text, "%s/%s", folder, name);
  return path;
}

rn_path rn_path_folder(const char *path) {
  rn_path folder = {"."};
  const char *slash = strrchr(path, '/');
  if (slash == path) return (rn_path){"/"};
  if (slash != NULL) {
    snprintf(folder.text, sizeof folder.text, "%.*s", (int)(slash - path), path);
  }
  return folder;
}

static int open_once(const char *path, int flags) {
  int fd;
  do {
    fd = open(path, flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/* Opens the file with O_NONBLOCK, which does not block on a FIFO. On a regular file, that flag
 * matters only if a file server has given another host a lease of the file: open() then fails
 * instead of waiting until the lease has been recalled. */
static int open_without_blocking(const char *path, int flags) {
  struct stat info;
  const int fd = open_once(path, flags | O_NONBLOCK);
  if (fd >= 0 || errno != EWOULDBLOCK) return fd;
  if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) return open_once(path, flags);
  errno = EWOULDBLOCK;
  return fd;
}

static rn_status open_with(rn_err *err, const char *path, int flags, const char *doing,
                           rn_file *out) {
  struct stat info;
  rn_file file = {.path = strdup(path)};
  if (file.path == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while opening %s", path);
  file.fd = open_without_blocking(path, flags);
  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    int error = errno;
    if (file.fd >= 0) close(file.fd);
    free(file.path);
    return rn_file_fail(err, doing, path, error);
  }
  *out = file;
  if (!S_ISREG(info.st_mode)) {
    rn_file_destroy(out);
    return rn_fail(err, RN_ERR_FORMAT, "cannot %s %s: it is not a regular file", doing, path);
  }
  out->size_bytes = (int64_t)info.st_size;
  return RN_OK;
}

rn_status rn_file_open(rn_err *err, const char *path, rn_file *out) {
  return open_with(err, path, O_RDONLY, "open", out);
}

rn_status rn_file_create(rn_err *err, const char *path, rn_file *out) {
  return open_with(err, path, O_RDWR | O_CREAT | O_TRUNC, "create", out);
}

rn_status rn_file_open_to_write(rn_err *err, const char *path, rn_file *out) {
  return open_with(err, path, O_RDWR, "open", out);
}

rn_status rn_file_close(rn_err *err, rn_file *file) {
  rn_status status = RN_OK;
  if (file->path == NULL) return RN_OK;
  if (close(file->fd) != 0 && errno != EINTR) {
    status = rn_file_fail(err, "finish writing", file->path, errno);
  }
  free(file->path);
  memset(file, 0, sizeof *file);
  return status;
}

void rn_file_destroy(rn_file *file) {
  (void)rn_file_close(NULL, file);
}

rn_status rn_file_read(rn_err *err, const rn_file *file, int64_t offset, void *out, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    if (rn_fault_now("file.read")) return rn_file_fail(err, "read", file->path, EIO);
    ssize_t got =
        pread(file->fd, (char *)out + done, bytes - done, (off_t)(offset + (int64_t)done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return rn_file_fail(err, "read", file->path, errno);
    if (got == 0) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s is truncated: it ends at byte %lld, but %lld more bytes are needed",
                     file->path, (long long)(offset + (int64_t)done), (long long)(bytes - done));
    }
    done += (size_t)got;
    rn_progress_unit();
  }
  return RN_OK;
}

rn_status rn_file_write(rn_err *err, const rn_file *file, int64_t offset, const void *data,
                        size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    if (rn_fault_now("file.write")) return rn_file_fail(err, "write", file->path, errno);
    ssize_t put =
        pwrite(file->fd, (const char *)data + done, bytes - done, (off_t)(offset + (int64_t)done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return rn_file_fail(err, "write", file->path, put < 0 ? errno : ENOSPC);
    done += (size_t)put;
    rn_progress_unit();
  }
  return RN_OK;
}

bool rn_file_is_unsupported(int error) {
  return error == EINVAL || error == ENOSYS || error == ENOTSUP;
}

int rn_file_sync_fd(int fd) {
  int error;
  do {
    error = fsync(fd) == 0 ? 0 : errno;
  } while (error == EINTR);
  return rn_file_is_unsupported(error) ? 0 : error;
}

/* Does the same, and counts as progress for the watchdog. */
static int sync_fd(int fd) {
  rn_progress_unit();
  const int error = rn_file_sync_fd(fd);
  rn_progress_unit();
  return error;
}

rn_status rn_file_sync(rn_err *err, const rn_file *file) {
  const int error = sync_fd(file->fd);
  return error == 0 ? RN_OK : rn_file_fail(err, "fsync", file->path, error);
}

rn_status rn_file_sync_folder(rn_err *err, const char *folder) {
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return rn_file_fail(err, "open directory", folder, errno);
  const int error = rn_fault_now("file.sync_folder") ? errno : sync_fd(fd);
  close(fd);
  return error == 0 ? RN_OK : rn_file_fail(err, "fsync directory", folder, error);
}

/* Renames; returns 0 or an errno. A network file system repeats a call whose reply it lost. If the
 * first call has already renamed the file, the second one fails with ENOENT. */
static int rename_once(const char *from, const char *to) {
  struct stat before, after;
  const bool known = lstat(from, &before) == 0;
  if (rename(from, to) == 0) return 0;
  const int error = errno;
  const bool moved = error == ENOENT && known && rn_file_is_missing(from) &&
                     lstat(to, &after) == 0 && after.st_dev == before.st_dev &&
                     after.st_ino == before.st_ino;
  return moved ? 0 : error;
}

rn_status rn_file_rename(rn_err *err, const char *from, const char *to) {
  char pair[2 * PATH_MAX];
  const int error = rn_fault_now("file.rename") ? errno : rename_once(from, to);
  if (error == 0) return RN_OK;
  snprintf(pair, sizeof pair, "%s to %s", from, to);
  if (error == EEXIST || error == ENOTEMPTY) {
    return rn_fail(err, RN_ERR_IO, "cannot rename %s: %s; remove it or choose another path", pair,
                   strerror(error));
  }
  return rn_file_fail(err, "rename", pair, error);
}

/* Creates a folder and syncs its parent; otherwise the folder might not survive a power failure. A
 * parent that is writable but not readable cannot be opened, so it is not synced. */
static int make_one_folder(const char *folder) {
  struct stat info;
  if (mkdir(folder, 0777) != 0) {
    /* For a folder that exists in a parent that is not writable, NFS and automount may return
     * EACCES or EROFS. */
    const int error = errno;
    return error == EEXIST || (stat(folder, &info) == 0 && S_ISDIR(info.st_mode)) ? 0 : error;
  }
  const int fd = open(rn_path_folder(folder).text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return 0;
  const int error = sync_fd(fd);
  close(fd);
  return error;
}

rn_status rn_file_make_folder(rn_err *err, const char *folder) {
  struct stat info;
  rn_path path;
  snprintf(path.text, sizeof path.text, "%s", folder);
  int error = 0;
  for (char *end = path.text; error == 0 && *end != '\0';) {
    end += 1 + strcspn(end + 1, "/");
    char kept = *end;
    *end = '\0';
    error = make_one_folder(path.text);
    *end = kept;
  }
  if (error == 0 && stat(path.text, &info) != 0) error = errno;
  if (error == 0 && !S_ISDIR(info.st_mode)) error = ENOTDIR;
  return error == 0 ? RN_OK : rn_file_fail(err, "make directory", folder, error);
}

/* The first error of a removal, for remove_one, to which nftw passes no context; 0: none. */
static _Thread_local int removal_error;

/* Continues after an error, so that as much space as possible is freed: on NFS, a file that a
 * program of this host still reads stays, as .nfsXXXX. A file that is missing was removed by an
 * earlier call whose reply was lost. */
static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
  (void)info;
  (void)kind;
  (void)place;
  rn_progress_unit();
  if (remove(path) != 0 && errno != ENOENT && removal_error == 0) removal_error = errno;
  return 0;
}

rn_status rn_file_remove_tree(rn_err *err, const char *path) {
  enum { OPEN_FOLDERS = 16 };
  removal_error = 0;
  const int walked = nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
  if (walked != 0 && removal_error == 0) removal_error = errno;
  return removal_error == 0 ? RN_OK : rn_file_fail(err, "remove", path, removal_error);
}

rn_status rn_file_remove_left(rn_err *err, const char *path) {
  bool exists;
  RN_TRY(err, rn_file_find(err, path, &exists));
  return exists ? rn_file_remove_tree(err, path) : RN_OK;
}

bool rn_file_exists(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

bool rn_file_is_missing(const char *path) {
  bool exists;
  return rn_file_find(&(rn_err){0}, path, &exists) == RN_OK && !exists;
}

bool rn_file_leads_nowhere(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/* Returns the status of a lookup that failed with the code `error`: a missing file is no failure.
 */
static rn_status looked_up(rn_err *err, const char *path, int error) {
  if (error == ENOENT || error == ENOTDIR) return RN_OK;
  return rn_file_fail(err, "look up", path, error);
}

rn_status rn_file_find(rn_err *err, const char *path, bool *exists) {
  struct stat info;
  *exists = lstat(path, &info) == 0;
  return *exists ? RN_OK : looked_up(err, path, errno);
}

/* Sets *is_type to true if `path` leads to a file of this type, such as S_IFDIR. */
static rn_status find_type(rn_err *err, const char *path, mode_t type, bool *is_type) {
  struct stat info;
  const bool found = stat(path, &info) == 0;
  *is_type = found && (info.st_mode & S_IFMT) == type;
  return found || rn_file_leads_nowhere(errno) ? RN_OK : rn_file_fail(err, "look up", path, errno);
}

rn_status rn_file_find_folder(rn_err *err, const char *path, bool *is_folder) {
  return find_type(err, path, S_IFDIR, is_folder);
}

rn_status rn_file_find_regular(rn_err *err, const char *path, bool *is_regular) {
  return find_type(err, path, S_IFREG, is_regular);
}

rn_status rn_file_load(rn_err *err, const char *path, size_t max_bytes, void **out, size_t *bytes) {
  rn_file file = {0};
  RN_TRY(err, rn_file_open(err, path, &file));
  rn_status status;
  char *data = NULL;
  size_t size = (size_t)file.size_bytes;
  if (size > max_bytes) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s has %zu bytes, more than the limit of %zu", path, size,
                     max_bytes);
    goto done;
  }
  data = malloc(size + 1);
  if (data == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory: cannot allocate the %zu bytes of %s", size,
                     path);
    goto done;
  }
  if ((status = rn_file_read(err, &file, 0, data, size)) != RN_OK) goto done;
  data[size] = '\0';
  *out = data;
  *bytes = size;
  data = NULL;
done:
  free(data);
  rn_file_destroy(&file);
  return status;
}

rn_status rn_file_resolve_symlink(rn_err *err, const char *path, rn_path *resolved) {
  struct stat info;
  snprintf(resolved->text, sizeof resolved->text, "%s", path);
  if (lstat(path, &info) != 0) return looked_up(err, path, errno);
  if (!S_ISLNK(info.st_mode)) return RN_OK;
  char *real = realpath(path, NULL);
  if (real == NULL && errno == ENOMEM)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while looking up %s", path);
  if (real == NULL && rn_file_leads_nowhere(errno)) return RN_OK;
  if (real == NULL) return rn_file_fail(err, "look up", path, errno);
  snprintf(resolved->text, sizeof resolved->text, "%s", real);
  free(real);
  return RN_OK;
}

static rn_status check_folder(rn_err *err, const char *folder) {
  struct stat info;
  int error = stat(folder, &info) == 0 ? 0 : errno;
  if (error == 0 && !S_ISDIR(info.st_mode)) error = ENOTDIR;
  if (error == 0 && access(folder, W_OK | X_OK) != 0) error = errno;
  return error == 0 ? RN_OK : rn_file_fail(err, "write to directory", folder, error);
}

rn_status rn_file_check_target(rn_err *err, const char *path) {
  struct stat info;
  RN_TRY(err, check_folder(err, rn_path_folder(path).text));
  const int error = stat(path, &info) == 0 ? 0 : errno;
  if (error != 0 && !rn_file_leads_nowhere(error)) return rn_file_fail(err, "look up", path, error);
  if (error != 0 || S_ISREG(info.st_mode)) return RN_OK;
  return rn_fail(err, RN_ERR_IO,
                 "%s is not a regular file, so it will not be replaced; choose another path", path);
}

rn_status rn_file_publish(rn_err *err, rn_file *file, const char *path) {
  rn_path temporary;
  snprintf(temporary.text, sizeof temporary.text, "%s", file->path);
  rn_status status = rn_file_check_target(err, path);
  if (status == RN_OK) status = rn_file_sync(err, file);
  if (status == RN_OK) status = rn_file_close(err, file);
  if (status == RN_OK) status = rn_file_rename(err, temporary.text, path);
  if (status == RN_OK) status = rn_file_sync_folder(err, rn_path_folder(path).text);
  if (status != RN_OK) unlink(temporary.text);
  rn_file_destroy(file);
  return status;
}

rn_status rn_file_replace(rn_err *err, const char *path, const void *data, size_t bytes) {
  rn_file file = {0};
  rn_path temporary;
  snprintf(temporary.text, sizeof temporary.text, "%s.new", path);
  RN_TRY(err, rn_file_create(err, temporary.text, &file));
  rn_status status = rn_file_write(err, &file, 0, data, bytes);
  if (status == RN_OK) return rn_file_publish(err, &file, path);
  unlink(temporary.text);
  rn_file_destroy(&file);
  return status;
}
