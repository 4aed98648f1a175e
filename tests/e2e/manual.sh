#!/usr/bin/env bash
# Checks that the manual pages and shell completions that the programs print have exactly the
# commands, options and keys of --help, and that groff finds no error in the pages.
# usage: manual.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

programs=()
for path in "$bin"/retnet-*; do programs+=("${path##*/}"); done
[ "${#programs[@]}" -ge 7 ] || fail "programs: ${programs[*]}"

# Print the options that a help text or a manual page explains, one per line.
help_options() { sed -nE 's/^ +(-[a-z])?(, )?(--[a-z][a-z-]*)?( .*)?$/\1 \3/p' "$1" | tr ' ' '\n' | grep -e - | sort -u; }
man_options() {
  grep -A1 '^\.TP$' "$1" | grep -oE '^\\fB\\-.*' | sed 's/\\fI.*//; s/\\f[BR]//g; s/\\-/-/g; s/,//' |
    tr ' ' '\n' | grep -e - | sort -u
}
help_keys() { awk '/^Configuration keys/ {on = 1} on && /^[a-z]+:$/ {s = $1; sub(":", "", s)}
  on && /^  [a-z]/ {print s "." $1}' "$1" | sort; }
man_keys() { sed -nE 's/^\\fB([a-z]+\.[a-z0-9_]+)\\fR: .*/\1/p' "$1" | sort; }

same() { diff "$1" "$2" >difference || fail "$3: $(head -n 5 difference)"; }

# complete WORD...: prints what the shell offers for the last word.
complete_words() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  # shellcheck disable=SC2317 # the completion calls it
  compopt() { :; }
  "_${1//-/_}"
  printf '%s\n' "${COMPREPLY[@]}"
}
offers() { # offers WANTED WORD...
  local wanted=$1 got
  shift
  got=$(complete_words "$@")
  grep -qxF -e "$wanted" <<<"$got" || fail "$* does not offer $wanted: $got"
}

case $case in
  options)
    for program in "${programs[@]}"; do
      "$bin/$program" --help >help
      "$bin/$program" --generate man >page.1
      "$bin/$program" --generate bash >script
      help_options help >a
      man_options page.1 >b
      [ "$(wc -l <a)" -ge 4 ] || fail "$program: options of --help: $(cat a)"
      same a b "$program: options of --help and of the manual page"
      while read -r option; do
        [ "$option" = -h ] || grep -qF -e " $option" script || fail "$program: no completion of $option"
      done <a
      help_keys help >a
      man_keys page.1 >b
      same a b "$program: keys of --help and of the manual page"
      # The build generates the same two files for installation.
      same page.1 "$bin/../man/$program.1" "$program.1 of the build"
      same script "$bin/../completions/$program" "completion of $program of the build"
      bash -n script || fail "$program: the completion is no script"
      # shellcheck source=/dev/null
      source ./script
      refuse 2 'man|bash' "$bin/$program" --generate nonsense
    done
    [ "$("$bin/retnet-train" --help >help && help_keys help | wc -l)" -ge 60 ] || fail 'few keys'
    offers verify retnet-ckpt ver
    offers --val-fraction retnet-data build --v
    offers parallel.sequence= retnet-train run.yaml -s parallel.s
    offers bf16 retnet-train run.yaml -s train.precision = b
    offers true retnet-train run.yaml -s run.profile = ''
    offers man retnet-eval --generate m
    offers --plan retnet-train run.yaml --
    [ "$(complete_words retnet-report RU)" = '' ] || fail 'files are left to the shell'
    ;;
  render)
    command -v groff >/dev/null || skip 'groff is not installed'
    for program in "${programs[@]}"; do
      groff -man -ww -Tutf8 "$bin/../man/$program.1" >page 2>faults || fail "$program: groff fails"
      [ ! -s faults ] || fail "$program: $(head -n 3 faults)"
      grep -qF 'retnet-bench(1)' page || fail "$program: the page is not whole"
    done
    ;;
esac
finish
