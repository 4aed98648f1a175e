#!/usr/bin/env bash
# Runs both commands of the README on another release of Debian: creates a root file system with
# debootstrap, copies the last commit into it, and runs jobs/quickstart.sh and jobs/check.sh there.
# usage: jobs/check_debian.sh [SUITE]     (default: trixie, Debian 13)
#        jobs/check_debian.sh --make-root DIR [SUITE]; jobs/check_debian.sh --in-root DIR [SUITE]
#        jobs/check_debian.sh --package FILE.deb [SUITE]
# The second form does the same in two steps, so that the root file system can be created in the
# empty folder DIR while other work is done; DIR is not removed at the end. The third form installs a
# package that cpack made on the same release, and runs the quickstart with the installed programs.
#
# Must run as root; needs debootstrap. Packages come from the mirror that apt uses on this machine.
# The root file system (about 2 GB) is created in TMPDIR or /var/tmp, and removed at the end.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" "--package --make-root --in-root" "$@"
step=all root='' package=''
case "${1:-}" in
  --package)
    step=$1 package=$(realpath "${2:?FILE.deb is missing}")
    shift 2
    ;;
  --make-root | --in-root)
    step=$1 root=${2:?DIR is missing}
    shift 2
    ;;
esac
suite=${1:-trixie}

die() {
  echo "jobs/check_debian.sh: $*" >&2
  exit 1
}

# Prints the repository from which apt on this machine installs packages of its release.
mirror() {
  # shellcheck source=/dev/null disable=SC2016
  . /etc/os-release
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' | awk -v own="$VERSION_CODENAME" '
      $1 == "Debian" && $2 == own && $3 == "main" { print $4; exit }'
}

# in_root COMMAND...: runs COMMAND in the root with the file systems that programs expect. Mounts
# and processes are in separate namespaces, so that none of them remains, however the command ends.
in_root() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -euc '
    root=$1
    shift
    mount --bind "$root" "$root" # tests that create namespaces need a mount point as /
    cd "$root"
    mount -t proc proc proc
    mount --rbind /sys sys || true # used only for the CPU topology; not allowed in some containers
    mkdir -p dev/shm dev/pts
    mount -t tmpfs tmpfs dev/shm
    mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts || true
    exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI=true \
      "$@"
  ' - "$root" "$@" </dev/null
}

make_root() {
  local uri
  command -v debootstrap >/dev/null || die 'needs debootstrap'
  uri=$(mirror)
  [ -n "$uri" ] || die 'apt has no Debian repository on this machine: run apt-get update'
  rn_say "Creating a root file system of Debian $suite from $uri"
  debootstrap --variant=minbase "$suite" "$root" "$uri" >"$root.log" 2>&1 || {
    tail -n 20 "$root.log" >&2
    rm -f "$root.log"
    die "debootstrap failed"
  }
  rm -f "$root.log"
  chmod 755 "$root" # apt downloads as another user
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  grep -q localhost "$root/etc/hosts" 2>/dev/null || echo '127.0.0.1 localhost' >>"$root/etc/hosts"
  apt-config dump 'Acquire::http::Proxy' 'Acquire::https::Proxy' >"$root/etc/apt/apt.conf.d/01proxy"
}

check_in_root() {
  [ -z "$(git -C "$RN_ROOT" status --porcelain)" ] ||
    rn_say "Uncommitted changes are not checked"
  mkdir "$root/retnet"
  git -C "$RN_ROOT" archive HEAD | tar -x -C "$root/retnet"

  rn_say "jobs/quickstart.sh on Debian $suite"
  in_root /retnet/jobs/quickstart.sh
  rn_say "jobs/check.sh on Debian $suite"
  in_root env RETNET_SOAK_S=60 /retnet/jobs/check.sh # 300 s on the host in .ci/run
  rn_say "Debian $suite ($(cat "$root/etc/debian_version")): both commands succeeded"
}

# Installs the package as a user without a source tree does.
check_package() {
  cp "$package" "$root/retnet.deb"
  rn_say "dpkg -i $(basename "$package") on Debian $suite"
  in_root apt-get update -qq
  in_root dpkg -i /retnet.deb || true # names the libraries that are missing
  in_root env DEBIAN_FRONTEND=noninteractive apt-get --fix-broken install -y -qq \
    --no-install-recommends >/dev/null
  in_root dpkg --status retnet | grep -x 'Status: install ok installed' || die 'not installed'
  # shellcheck disable=SC2016
  in_root bash -c 'for program in train data eval generate ckpt bench report; do
      retnet-$program --version | head -n 1 && ls /usr/share/man/man1/retnet-$program.1* || exit 1
    done'
  rn_say "Quickstart by the installed programs"
  in_root bash -c 'cd /root && bash /usr/share/retnet/quickstart.sh'
}

[ "$(id -u)" = 0 ] || die 'must run as root, to create a chroot of another release'
case $step in
  --make-root) make_root ;;
  --in-root) check_in_root ;;
  all | --package)
    root=$(mktemp -d "${TMPDIR:-/var/tmp}/retnet-$suite.XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    make_root
    if [ "$step" = all ]; then check_in_root; else check_package; fi
    ;;
esac
