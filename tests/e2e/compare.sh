#!/usr/bin/env bash
# Checks that jobs/compare.sh writes whole tables and figures of models with as many parameters, and
# nothing but an error if a program fails. usage: compare.sh BIN
set -euo pipefail
bin=$1
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"
compare=$here/../../jobs/compare.sh
export RN_BIN=$bin
for i in $(seq 200); do echo "line $i of a text to learn"; done >text

bash "$compare" --quick --out out text >report 2>log || fail "ended with $?: $(tail -n 3 log)"
cmp -s report out/compare.md || fail 'the report is not what was printed'
# check_table NAME ROWS COLUMNS: all cells but the first are positive numbers.
check_table() {
  awk -F, -v rows="$2" -v columns="$3" 'NF != columns { bad = 1 }
    NR > 1 { for (i = 2; i <= NF; i++) if (!($i > 0)) bad = 1 }
    END { exit bad || NR != rows + 1 }' "out/$1.csv" || fail "$1: $(cat "out/$1.csv")"
  [ "$(grep -c "^| $(sed -n 2s/,.*//p "out/$1.csv") |" report)" -ge 1 ] || fail "$1 is not in the report"
}
check_table quality 7 4
check_table context 4 3
check_table training 1 5
check_table positions 2 5
check_table sequences 2 5
# Parameters differ by less than 1 %; only the Transformer's state grows.
awk -F, '/^RetNet/ { a = $2 } /^Transformer/ { b = $2 } END { exit !(b < 1.01 * a && b > 0.99 * a) }' \
  out/quality.csv || fail "parameters: $(cat out/quality.csv)"
awk -F, 'NR == 2 { a = $3; b = $5 } END { exit !($3 == a && $5 > 1.5 * b) }' out/positions.csv ||
  fail "states: $(cat out/positions.csv)"

refuse 2 --steps bash "$compare" --steps 0
refuse 2 speed bash "$compare" --parts quality,speed
refuse 2 --out bash "$compare" --out
refuse 2 --more bash "$compare" --more
refuse 1 nowhere bash "$compare" --quick --parts quality --out failed nowhere
[ ! -e failed/compare.md ] || fail 'a report of a failed comparison'
bash "$compare" --help >help || fail "--help ended with $?"
for option in --out --parts --steps --quick RN_BIN gnuplot; do
  grep -q -e "$option" help || fail "--help does not explain $option"
done

if ! command -v gnuplot >/dev/null; then
  grep -q 'no figures: gnuplot' log || fail 'missing figures are not reported'
  [ "$failures" -gt 0 ] || skip 'gnuplot is not installed: the figures are not checked'
fi
for part in quality training decoding; do
  grep -q '<svg' "out/$part.svg" || fail "no figure $part.svg"
  grep -q Transformer "out/$part.svg" || fail "$part.svg has no text"
  [ "$(head -c 4 out/$part.png | tail -c 3)" = PNG ] || fail "no figure $part.png"
  [ "$(wc -c <out/$part.svg)" -lt 60000 ] || fail "$part.svg is large"
  grep -q "($part.svg)" report || fail "$part.svg is not in the report"
done
finish
