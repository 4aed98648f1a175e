#!/usr/bin/env bash
# Checks that --help explains every command and option: what it does, its usage and an example that
# works. `PROGRAM help COMMAND` and `PROGRAM COMMAND --help` must be the same, and the program must
# accept every option in the help.
# usage: help.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

# Prints the options in the help text on stdin, as "--name VALUE" or "--name".
options() { sed -nE 's/^  +(-s|--[a-z-]+)( [A-Z][^ ]*| [a-z0-9]+[.|=][^ ]*| none)?( .*|$)/\1\2/p'; }

# explained HELP WORD...: checks that HELP, the output of WORD... --help, is complete.
explained() {
  local help=$1 usage option value
  shift
  usage=$(sed '/^$/q' "$help" | tr -s '\n ' ' ')
  grep -q '^example:$' "$help" || fail "$*: no example"
  sed '1,/^example:$/d' "$help" | grep "${1##*/}" >/dev/null || fail "$*: an example of something else"
  [ "$(sed '1,/^$/d;/^$/,$d' "$help" | wc -c)" -gt 30 ] || fail "$*: not described"
  while read -r option value; do
    case $option in --help | --version | --generate) continue ;; esac
    [[ "$usage" == *"$option${value:+ }"* ]] || fail "$*: $option is not in the usage: $usage"
    # The program must complain about a missing value, or about one too many; so it accepts the
    # option.
    if [ -n "$value" ]; then
      refuse 2 'requires a value' "$@" "$option"
    else
      refuse 2 'takes no value' "$@" "$option=1"
    fi
  done < <(options <"$help")
  while read -r option; do
    options <"$help" | grep -q -- "^$option" || fail "$*: $option of the usage is not explained"
  done < <(grep -oE -- '--[a-z-]+' <<<"$usage" | sort -u)
}

for program in train eval generate report; do
  "$bin/retnet-$program" --help >help
  explained help "$bin/retnet-$program"
done
for program in data ckpt bench; do
  name=retnet-$program
  "$bin/$name" --help >all
  "$bin/$name" help | cmp -s - all || fail "$name help is not $name --help"
  refuse 2 'is not one of' "$bin/$name" nonsense
  refuse 2 'is not one of' "$bin/$name" help nonsense
  refuse 2 nonsense "$bin/$name" help "$(sed -nE "s/^$name ([a-z]+) .*/\1/p" all | head -n 1)" nonsense
  "$bin/$name" nonsense 2>error || true
  commands=$(sed -E 's/.* is not one of //; s/\|/ /g' error)
  [ "$(wc -w <<<"$commands")" -ge 5 ] || fail "$name: commands: $commands"
  for command in $commands; do
    "$bin/$name" "$command" --help >help
    "$bin/$name" help "$command" | cmp -s - help || fail "$name help $command differs"
    explained help "$bin/$name" "$command"
    # The help of the program must contain the help of each command.
    for word in "$name $command" "example: .*$name $command" $(options <help | sed 's/ .*//'); do
      grep -q -e "$word" all || fail "$name --help has no $word"
    done
  done
  [ "$(awk 'length > 80' all)" = "" ] || fail "$name --help: lines of more than 80 columns"
done
finish
