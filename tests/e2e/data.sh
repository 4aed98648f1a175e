#!/usr/bin/env bash
# Checks that retnet-data accepts text in all common forms, reads it in the documented order, and
# names inputs that it cannot read.
# usage: data.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
data="$bin/retnet-data"

holds() { # holds TEXT ARGUMENTS...: data built from these arguments must contain TEXT
  local want=$1 n=$((++built))
  shift
  "$data" build --out "out$n" --val-fraction 0 "$@" >build.log || fail "$*: not built"
  [ "$("$data" cat "out$n" --text)" = "$want" ] || fail "$*: $("$data" cat "out$n" --text)"
}
built=0

# Files are read in byte order of their paths. A link to a parent folder is not followed. Names may
# end with .zst.
mkdir -p in/a in/deep
printf 1 >in/a.txt
printf 2 >in/a/b.txt
printf 3 >in/b.txt
ln -s .. in/deep/round
: >in/empty.txt
holds 123 in
grep -q '1 empty' build.log || fail 'empty files are not counted'
holds 123 --include '*.txt' in/
deep=in
for _ in $(seq 80); do deep=$deep/d; done
mkdir -p "$deep"
printf 4 >"$deep/x.txt"
holds 1234 in
zstd -q --rm in/b.txt
holds 1234 --include '*.txt' in
printf '{"text": "x\\u0000y", "n": 123456789012345678901234567890}\n{"text": "z"}\n' >lines.jsonl
"$data" build --out lines --val-fraction 0 lines.jsonl >/dev/null || fail 'lines.jsonl: not built'
[ "$("$data" cat lines --text | od -An -c | tr -d ' \n')" = 'x\0yz' ] || fail 'lines.jsonl'
printf 'from a pipe' | "$data" build --out piped/ --val-fraction 0 - >/dev/null
[ "$("$data" cat piped --text)" = 'from a pipe' ] || fail 'standard input'
[ "$("$data" cat piped --text --range 1:5)" = from ] || fail '--range A:B'
[ "$("$data" cat piped --text --range 8:)" = pipe ] || fail '--range A:'
[ "$("$data" cat piped --text --range :5)" = from ] || fail '--range :B'

# Patterns that the shell did not expand: byte order, folders are searched, empty files are skipped.
holds 213 'in/[ab]*'
holds 34 --include '*.txt' 'in/[!a]*'
grep -q '1 empty' build.log || fail 'empty files that a pattern matches are not counted'
printf 5 >'in/a*.txt'
holds 5 'in/a*.txt'
rm 'in/a*.txt'
refuse 1 'in/none*' "$data" build --out x 'in/none*'

# Equal input must give equal bytes; existing data must not be overwritten.
"$data" build --out same --val-fraction 0 in >/dev/null
cmp -s same/train/00000.rtd out4/train/00000.rtd || fail 'equal input, other bytes'
refuse 2 same "$data" build --out same in
"$data" stat same | grep -q ' 4 documents' || fail "stat: $("$data" stat same)"
zstd -dcq same/train/00000.rtd >/dev/null || fail 'zstd does not read a shard'

# With few documents, val is the end of each.
yes word | head -c 1000 >long.txt || true
"$data" build --out split --val-fraction 0.1 long.txt >/dev/null
[ "$("$data" cat split | wc -l)" = 902 ] || fail 'the last tenth of a document is not val'

# With 20 or more documents, each belongs to exactly one split, which does not depend on the other
# documents.
for i in $(seq 60); do printf 'document %d and its text\n' "$i" >"numbered.$(printf %02d "$i")"; done
split() { # split OUT DOCUMENTS: writes train and val to OUT.train and OUT.val, one line per document
  # shellcheck disable=SC2046
  "$data" build --out "$1" --val-fraction 0.25 $(seq -f 'numbered.%02.0f' "$2") >/dev/null
  "$data" cat "$1/train" --text >"$1.train"
  "$data" cat "$1/val" --text >"$1.val"
}
for count in 20 21 60; do
  split "many$count" "$count"
  for split in train val; do
    [ -s "many$count.$split" ] || fail "$count documents: $split is empty"
  done
  sort "many$count.train" "many$count.val" >whole
  seq "$count" | sed 's/.*/document & and its text/' | sort | cmp -s - whole ||
    fail "$count documents: not each in one split: $(head -n 3 whole)"
done
head -n "$(wc -l <many20.val)" many60.val | cmp -s - many20.val || fail 'val depends on other documents'
case $(wc -l <many60.val) in
  [6-9] | 1? | 2[0-6]) ;;
  *) fail "$(wc -l <many60.val) of 60 documents are val, not about 15" ;;
esac
split few 19
[ "$(grep -o document few.train | wc -l)" = 19 ] || fail 'with 19 documents, each has its end in val'
[ "$(cat few.train few.val | tr -d '\n' | wc -c)" = "$(cat numbered.0? numbered.1? | tr -d '\n' | wc -c)" ] ||
  fail 'with 19 documents, text is lost or doubled'

# Several shards are one text, in the order of their names; verify checks each of them.
mkdir -p both/train
cp piped/train/00000.rtd both/train/00001.rtd
cp lines/train/00000.rtd both/train/00000.rtd
cp piped/train/00000.rtd both/train/00010.rtd
[ "$("$data" cat both --text | tr -d '\0')" = 'xyzfrom a pipefrom a pipe' ] ||
  fail "several shards: $("$data" cat both --text | od -An -c)"
"$data" cat both >all
for range in 0:3 4:9 5:7 6:20 17:33; do
  "$data" cat both --range "$range" >got
  sed -n "$((${range%:*} + 1)),${range#*:}p" all | cmp -s - got || fail "several shards: tokens $range"
done
"$data" verify both >/dev/null || fail 'several shards: verify'
printf x | dd of=both/train/00001.rtd bs=1 seek=1030 conv=notrunc status=none
refuse 1 both/train/00001.rtd "$data" verify both

# Inputs that must be refused.
: >none.txt
zstd -q none.txt
refuse 1 none.txt "$data" build --out x none.txt
refuse 1 none.txt.zst "$data" build --out x none.txt.zst
printf '{"texts": "a"}\n' >other.jsonl
refuse 1 'other.jsonl:1' "$data" build --out x other.jsonl
head -c 40 in/b.txt.zst | head -c 9 >cut.txt.zst
refuse 1 cut.txt.zst "$data" build --out x cut.txt.zst
refuse 1 nowhere "$data" build --out x nowhere
refuse 2 --out "$data" build in
refuse 2 include "$data" build --out x --inclde '*.c' in
refuse 2 val-fraction "$data" build --out x --val-fraction 2 in
refuse 1 no_model "$data" build --out x --tokenizer spm:no_model in
refuse 2 'hf:FILE' "$data" build --out x --tokenizer gpt2 in
refuse 2 build "$data" bild
refuse 2 'of 13' "$data" cat piped --range 0:99
[ ! -e x ] || fail 'a refused build left something behind'
if "$data" cat piped --text >/dev/full 2>full.log; then fail 'a full disk is not noticed'; fi
grep -q 'cannot write' full.log || fail 'a full disk is not named'

# A damaged shard must be found, and its undamaged blocks recovered.
printf x | dd of=same/train/00000.rtd bs=1 seek=1030 conv=notrunc status=none
refuse 1 same/train/00000.rtd "$data" verify same
head -c 1100 same/train/00000.rtd >none.rtd
refuse 1 'no undamaged block' "$data" recover none.rtd
[ ! -e none.rtd.recovered ] || fail 'a recovery of nothing leaves a shard'
"$data" --version | grep -q zstd || fail '--version'
"$data" build --help | grep -q val-fraction || fail 'build --help'
finish
