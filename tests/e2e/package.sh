#!/usr/bin/env bash
# Checks that the installed library can be used by pkg-config and by CMake's find_package, also after
# the installed files were moved; and that only programs that send messages need MPI.
# usage: package.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

DESTDIR=$work/stage cmake --install "$bin/.." --prefix /first >install.log 2>&1 ||
  fail "install: $(tail -n 2 install.log)"
mv stage/first moved
for file in bin/retnet-train share/man/man1/retnet-report.1 share/doc/retnet/copyright \
  share/bash-completion/completions/retnet-data share/retnet/configs/quickstart.yaml \
  share/retnet/quickstart.sh share/retnet/env; do
  [ -s "moved/$file" ] || fail "not installed: $file"
done
# Pages that the README links are beside it.
for page in $(grep -o '](\([A-Za-z/]*\.md\))' moved/share/doc/retnet/README.md | tr -d '()]' | sort -u); do
  [ -s "moved/share/doc/retnet/$page" ] || fail "the README links $page, which is not installed"
done
moved/bin/retnet-report --version >version || fail 'an installed program does not start'
# Programs that send no messages, and those with injected faults, start without the libraries of MPI.
for program in data ckpt report; do
  for file in "moved/bin/retnet-$program" "$bin/../tests/fault/bin/retnet-$program"; do
    if ldd "$file" | grep -q libmpi; then fail "$file is linked with MPI"; fi
  done
done

cat >main.c <<'C'
#include <stdio.h>

#include "data/shard/shard.h"

int main(int argc, char **argv) {
  rn_err err = {0};
  rn_shard shard = {0};
  if (argc != 2 || rn_shard_open(&err, argv[1], &shard) != RN_OK) {
    fprintf(stderr, "%s\n", err.text);
    return 1;
  }
  printf("%lld tokens\n", (long long)shard.footer->tokens);
  rn_shard_close(&shard);
  return 0;
}
C
echo 'a text' >text.txt
"$bin/retnet-data" build --out data --val-fraction 0 text.txt >/dev/null
shard=$(find data/train -name '*.rtd')
grep -q 'fsanitize' "$bin/../CMakeCache.txt" "$bin/../compile_commands.json" &&
  skip 'the libraries of this build need the sanitizer'

pkgconfig=$(dirname "$(find moved -name retnet.pc)")
# shellcheck disable=SC2046
cc main.c -o by_pkgconfig $(PKG_CONFIG_PATH=$pkgconfig pkg-config --cflags --libs retnet) ||
  fail 'pkg-config'
[ "$(./by_pkgconfig "$shard")" = '9 tokens' ] || fail "by_pkgconfig: $(./by_pkgconfig "$shard")"

mkdir by_cmake
cat >CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(retnet 0.1 REQUIRED)
add_executable(user main.c)
target_link_libraries(user PRIVATE retnet::data)
get_target_property(program retnet::retnet-train IMPORTED_LOCATION)
if(NOT EXISTS ${program})
  message(FATAL_ERROR "no ${program}")
endif()
CMAKE
{ cmake -S . -B by_cmake -DCMAKE_PREFIX_PATH="$work/moved" && cmake --build by_cmake; } \
  >cmake.log 2>&1 || fail "find_package: $(tail -n 5 cmake.log)"
[ "$(by_cmake/user "$shard")" = '9 tokens' ] || fail 'the program that CMake built'
finish
