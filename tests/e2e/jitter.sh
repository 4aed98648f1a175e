#!/usr/bin/env bash
# Checks that jobs/jitter.sh prints a complete table that shows the wait for slow messages, and no
# rows if a measurement fails.
# usage: jitter.sh BIN
set -euo pipefail
bin=$1
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"
jitter=$here/../../jobs/jitter.sh
export RN_BIN=$bin
small=(-s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32 -s model.heads=2)

# The delay of messages is much longer than the work of a step, so that ranks wait in both directions.
bash "$jitter" --layers 1 --tokens 32 --steps 1 --late 200 -- "${small[@]}" >result.md 2>errors ||
  fail "jobs/jitter.sh ended with $?: $(tail -n 3 errors)"
awk -F' *[|] *' '/^\| / && ++row > 2 {
    for (i = 3; i <= 10; i++) if ($i !~ /^[0-9]+(\.[0-9]+)?$/) bad = 1
    if (row < 6 && ($9 != 0 || $10 != 0)) bad = 1
    if (row == 6 && ($6 < 100 || $7 < 100 || $8 != 200)) bad = 1
    if (row == 6 && ($9 < 50 || $9 > 201 || $10 < 50 || $10 > 201)) bad = 1}
  END {exit bad || row != 6}' result.md || fail "table: $(cat result.md)"

refuse 1 model.heads bash "$jitter" --layers 1 --tokens 32 --steps 1 -- "${small[@]}" -s model.heads=7
if grep -q 'last rank' refused.log; then fail "rows after a failed one: $(cat refused.log)"; fi
refuse 2 --ranks bash "$jitter" --ranks 1
refuse 2 --steps bash "$jitter" --steps 0
refuse 2 --late bash "$jitter" --late
refuse 2 more bash "$jitter" more
refuse 2 'mpirun -np 2' "$bin/retnet-bench" ranks
bash "$jitter" --help >help 2>&1 || fail "--help ended with $?"
for option in --ranks --layers --tokens --steps --busy --late RN_BIN; do
  grep -q -e "$option" help || fail "--help does not explain $option"
done
finish
