# A /dev/shm and a TMPDIR of their own for a test, so that it sees exactly what its processes leave
# there. This file is sourced, not run, before common.sh.
# shellcheck shell=bash

# Starts the test again in a mount namespace with an empty /dev/shm, if this machine allows that. Sets
# private_memory to yes, or to nothing.
private_memory() { # private_memory ARGUMENT...: the arguments of the test
  local spaces
  private_memory=${RN_PRIVATE_MEMORY:-}
  [ -z "$private_memory" ] || return 0
  for spaces in --mount '--user --map-root-user --mount'; do
    # shellcheck disable=SC2086
    if unshare $spaces mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
      RN_PRIVATE_MEMORY=yes exec unshare $spaces \
        sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' sh bash "$0" "$@"
    fi
  done
  echo 'left out: files left in /dev/shm: this machine allows no mount namespace'
}

# Uses a folder for temporary files below the current folder.
private_temporary_files() {
  export TMPDIR=$PWD/tmp
  mkdir tmp
}

# must_leave_no_memory KB: checks that /dev/shm is empty and that TMPDIR has at most KB kilobytes, after
# all processes of the test have ended. Sets `kb` to the size of TMPDIR.
must_leave_no_memory() {
  if [ -n "$private_memory" ] && [ -n "$(find /dev/shm -type f)" ]; then
    fail "left in /dev/shm: $(find /dev/shm -type f | head -n 5)"
  fi
  kb=$(du -sk "$TMPDIR" | cut -f 1)
  [ "$kb" -le "$1" ] || fail "$kb KB are left in TMPDIR"
}
