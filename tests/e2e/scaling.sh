#!/usr/bin/env bash
# Checks that jobs/scaling.sh prints complete tables of threads, phases and ranks, and no table if a
# measurement fails, and that retnet-bench step --threads measures each number of threads separately.
# usage: scaling.sh BIN
set -euo pipefail
bin=$1
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"
scaling=$here/../../jobs/scaling.sh
export RN_BIN=$bin
small=(-s model.layers=1 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32 -s model.heads=2)
tiny=(--rounds 2 --steps 1 --tokens 32)

# table HEADING: prints the cells of a table in result.md, one line per row.
table() {
  awk -F' *[|] *' -v heading="### $1" '$0 == heading {inside = 1; next} /^#/ {inside = 0}
    inside && /^\|/ && !/^\| ---/ && ++row > 1 {
      for (i = 2; i < NF; i++) {sub(/ %$/, "", $i); printf "%s%s", $i, i < NF - 1 ? " " : "\n"}}' \
    result.md
}

# rows COLUMNS FIRST...: stdin must have one row of COLUMNS numbers for each first cell, in this
# order.
rows() {
  local columns=$1
  shift
  awk -v columns="$columns" -v first="$*" '
    BEGIN {count = split(first, want, " ")}
    {if (NF != columns || $1 != want[NR]) bad = 1
     for (i = 1; i <= NF; i++) if ($i !~ /^[0-9]+(\.[0-9]+)?$/) bad = 1}
    END {exit bad || NR != count}'
}

bash "$scaling" "${tiny[@]}" --threads 2,1 --ranks 1,2 -- "${small[@]}" >result.md 2>errors ||
  fail "jobs/scaling.sh ended with $?: $(tail -n 3 errors)"
table 'Threads of one rank' | rows 13 2 1 || fail "threads: $(cat result.md)"
table 'Ranks of one thread' | rows 9 1 2 || fail "ranks: $(cat result.md)"
# A single rank does not wait or send. The shares of a step must add up. The first row must be 100 %.
table 'Threads of one rank' | awk '{sum = 0; for (i = 9; i <= 13; i++) sum += $i}
  sum < 85 || sum > 100.5 {exit 1}' || fail "shares: $(cat result.md)"
table 'Threads of one rank' | awk '$1 == 1 && ($3 != 1 || $4 != 100 || $5 != 100 || $6 != 100) {exit 1}' ||
  fail "one thread is not the measure: $(cat result.md)"
# Phases with tasks must keep threads busy, but no longer than the phase takes.
table 'Phases of a step with 2 threads' | awk '{
    if ($(NF - 2) > 0 && ($(NF - 1) <= 0 || $NF > 101)) exit 1
    if ($(NF - 3) < 1) exit 1
    if ($(NF - 2) > 0) some++
  }
  END {exit some < 5}' || fail "phases: $(cat result.md)"
table 'Ranks of one thread' | awk '$1 == 1 && ($5 != 100 || $7 != 0 || $8 != 0) {exit 1}
  $1 == 2 && ($7 == 0 || $8 == 0) {exit 1}' || fail "messages: $(cat result.md)"

bash "$scaling" "${tiny[@]}" --threads 2 --ranks none -- "${small[@]}" >result.md 2>errors ||
  fail "jobs/scaling.sh ended with $?: $(tail -n 3 errors)"
table 'Threads of one rank' | rows 13 2 || fail "one number of threads: $(cat result.md)"
if grep -q 'Ranks of' result.md; then fail 'a table of ranks without ranks'; fi

refuse 1 model.heads bash "$scaling" "${tiny[@]}" -- "${small[@]}" -s model.heads=7
if grep -q '###' refused.log; then fail "a table of a failed measurement: $(cat refused.log)"; fi
refuse 2 --tokens bash "$scaling" --tokens 0
refuse 2 --ranks bash "$scaling" --ranks 1,
refuse 2 --steps bash "$scaling" --steps
refuse 2 more bash "$scaling" more
bash "$scaling" --help >help 2>&1 || fail "--help ended with $?"
for option in --threads --ranks --tokens --rounds --steps RN_BIN; do
  grep -q -e "$option" help || fail "--help does not explain $option"
done

step=("$bin/retnet-bench" step --json --steps 1 "${small[@]}" -s data.sequence_length=64)
"${step[@]}" --threads 2,1,3 >step.json 2>/dev/null || fail "step --threads ended with $?"
[ "$(grep -oE '\{"threads": [0-9]+' step.json | grep -oE '[0-9]+' | tr '\n' ' ')" = '2 1 3 ' ] ||
  fail "step --threads measures others: $(cat step.json)"
for name in tokens_per_s step_s products_s gemm_flops_per_s speedup product_efficiency efficiency \
  modelled_efficiency \
  products_share gemm_share forward backward_input weight optimizer tasks busy longest_task; do
  # The number must be in each row, and once in the entries beside the rows.
  found=$(grep -oE "\"$name\": ([1-9][0-9.e+-]*|0\.[0-9e-]*[1-9])[,}]" step.json | wc -l)
  [ "$found" -ge 3 ] || fail "$found of 3 rows have $name: $(cat step.json)"
done
"${step[@]}" --threads 2 >step.json 2>/dev/null || fail "step --threads 2 ended with $?"
grep -q '^{"threads": 2, ' step.json || fail "one number of threads: $(cat step.json)"
for list in '' 0 1,1 1,x '1,' -1; do
  refuse 2 --threads "${step[@]}" --threads "$list"
done
refuse 2 parallel.threads "${step[@]}" --threads 1,2 -s parallel.threads=1
refuse 2 --scan "${step[@]}" --threads 1,2 --scan none
finish
