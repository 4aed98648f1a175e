#!/usr/bin/env bash
# Checks that retnet-data reads each readable input once, never reads its own output, and does not
# replace an empty output folder.
# usage: inputs.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
data="$bin/retnet-data"

# holds TEXT OUT ARGUMENTS...: data built into OUT from these arguments must contain TEXT.
holds() {
  local want=$1 out=$2
  shift 2
  "$data" build --out "$out" --val-fraction 0 "$@" >build.log 2>&1 || fail "$*: $(cat build.log)"
  [ "$("$data" cat "$out" --text)" = "$want" ] || fail "$*: $("$data" cat "$out" --text | head -c 99)"
}

told() { grep -qF -- "$1" build.log || fail "\"$1\" is not told: $(cat build.log)"; }

case $case in
  out)
    # The output folder is inside the input: absent, empty, matched by a pattern, below a link, or the
    # same folder.
    mkdir -p in/empty around/more
    printf a >in/a.txt
    printf m >around/more/m.txt
    ln -s ../in around/link
    holds a in/new in
    rm -r in/new
    holds a in/empty in
    rm -r in/empty/*
    holds a in/new 'in/*'
    rm -r in/new
    holds am around/link/new around
    rm -r in/new
    (cd in/empty && "$data" build --out . --val-fraction 0 .. >/dev/null) || fail '--out . in its input'
    [ "$("$data" cat --text in/empty)" = a ] || fail "--out .: $("$data" cat --text in/empty)"
    rm -r in/empty/*
    refuse 1 'the inputs contain no text' "$data" build --out in/empty in/empty
    [ -z "$(ls in/empty)" ] || fail "a refused build leaves $(ls in/empty) in its folder"

    # An empty output folder must not be replaced: a link, its mode and a mount point are kept.
    mkdir real shared new-disk
    ln -s real link
    holds a link in
    [ -L link ] || fail 'the link to an empty folder is gone'
    rm -r real/*
    holds a real/. in
    rm -r real/*
    holds a real/// in
    chmod 2770 shared
    holds a shared in
    [ "$(stat -c %a shared)" = 2770 ] || fail "mode 2770 has become $(stat -c %a shared)"
    mkdir new-disk/lost+found
    holds a new-disk in
    holds a absent/. in
    [ -z "$(find . -name '.building*' -o -name '*.building*')" ] || fail 'a work folder is left'

    # An invalid output must be refused before anything is read.
    ln -s nowhere dangling
    refuse 2 'it contains train' "$data" build --out real in
    refuse 2 'is not a folder' "$data" build --out in/a.txt in
    refuse 1 'no name matches --include *.md' "$data" build --out none --include '*.md' in
    refuse 2 'a broken link' "$data" build --out dangling in
    refuse 2 --out "$data" build --out '' in
    mkdir -p begun/.building-1
    refuse 2 'of another build' "$data" build --out begun in
    ;;
  mount)
    mkdir volume
    if ! mount -t tmpfs none volume 2>/dev/null; then
      echo 'skipped: mounting a file system needs root'
      exit 77
    fi
    mounted=$work/volume
    printf a >a.txt
    holds a volume a.txt
    mountpoint -q volume || fail 'the mount point is gone'
    ;;
  folders)
    # Folders behind links are read once, loops end, and special files are left out; all of these are
    # reported.
    mkdir -p in/b other/deep twice
    printf 1 >in/a.txt
    printf 2 >in/b/b.txt
    printf 3 >other/c.txt
    printf 4 >other/deep/d.txt
    holds 12 plain in
    ln -s ../other in/c      # followed
    ln -s ../../other in/b/z # a second link to `other`, first in byte order: read under this name
    ln -s ../in other/up     # a loop
    ln -s . in/self
    ln -s ../../twice in/b/twice
    printf 5 >twice/e.txt
    ln -s nothing in/broken
    mkfifo in/pipe
    holds 12534 linked in
    told '5 entries skipped (folders already read, links that lead nowhere or may not be followed, special files)'
    holds 12534 pattern 'i[n]'
    ln -s ../in/a.txt other/file.txt # a link to a file is read like a file
    holds 3411 files other/c.txt other/deep other/file.txt in/a.txt
    ;;
  lines)
    printf '\xef\xbb\xbf{"text":"a"}\n' >mark.jsonl
    holds a mark mark.jsonl
    printf '\n{"text":"a"}\r\n \t\r\n\n{"text":"b"}\n\n' >blank.jsonl
    holds ab blank blank.jsonl
    told '2 documents'
    told '4 blank lines skipped'
    printf '{"text":"a"}' >last.JsonL
    holds a last last.JsonL
    zstd -q -c last.JsonL >UPPER.JSONL.ZST
    holds a upper UPPER.JSONL.ZST
    printf 'plain' | zstd -q >PLAIN.TXT.ZST
    holds plain plain --include '*.TXT' .
    printf '\n \n' >nothing.jsonl
    refuse 1 'only blank lines' "$data" build --out x nothing.jsonl
    line() { # line WORDS CONTENT: a second line CONTENT must be refused with WORDS
      printf '{"text":"a"}\n%b\n' "$2" >bad.jsonl
      refuse 1 'bad.jsonl:2' "$data" build --out x bad.jsonl
      grep -qF -- "$1" refused.log || fail "$2: not told that it is $1: $(cat refused.log)"
    }
    line '"text" is null' '{"text":null}'
    line '"text" is a number' '{"text":1}'
    line '"text" is an object' '{"text":{}}'
    line 'no "text"' '{"texts":"a"}'
    line 'is an array' '[1]'
    line 'is a string' '"text"'
    line 'invalid JSON' '{"text":"a"'
    line 'invalid JSON' '{"text":"\xff"}'
    line 'invalid JSON' '{"text":"a"}{"text":"b"}'
    # gzip, also of several members and with padding; what is damaged or cut is not text.
    printf '{"text":"a"}\n{"text":"b"}\n' | gzip >z.jsonl.gz
    holds ab gzip z.jsonl.gz
    for part in one two; do printf '%s' "$part" | gzip; done >Z.TXT.GZ
    holds onetwo members Z.TXT.GZ
    head -c 512 /dev/zero >>Z.TXT.GZ
    holds onetwo padded Z.TXT.GZ
    printf x >>Z.TXT.GZ
    refuse 1 'Z.TXT.GZ: damaged gzip data' "$data" build --out x Z.TXT.GZ
    head -c 25 z.jsonl.gz >cut.jsonl.gz
    refuse 1 'cut.jsonl.gz: its gzip data are truncated' "$data" build --out x cut.jsonl.gz
    printf 'no gzip' >no.gz
    refuse 1 'no.gz: damaged gzip data' "$data" build --out x no.gz
    printf 'PAR1....PAR1' >table.parquet
    refuse 1 "read_parquet('table.parquet'" "$data" build --out x table.parquet
    mkdir texts
    printf one >texts/one.txt
    "$data" build --out texts/packed texts/one.txt >build.log || fail "$(cat build.log)"
    refuse 1 '00000.rtd is a shard that retnet-data has written' "$data" build --out x texts
    refuse 1 'cannot open nothing/x.bin: No such file' "$data" build --out x --vocab-size 65 nothing/x.bin
    refuse 1 "nothing/*: no such file, and no file name matches" "$data" build --out x 'nothing/*'
    mkdir folder
    cp z.jsonl.gz folder/b.jsonl.gz
    holds ab included --include '*.jsonl' folder
    printf other >folder/a.txt
    holds other some --include '*.txt' folder
    printf 'no xz' >b.txt.xz
    holds 'no xz' xz b.txt.xz
    told '1 files (the first is b.txt.xz) look compressed'
    [ ! -e x ] || fail 'a refused build left something behind'
    ;;
  pipes)
    # A process substitution, a named pipe, and a pipe that is written in pieces. A failed read must
    # not be taken for the end of the text.
    holds 'by a pipe' one <(printf 'by a pipe')
    mkfifo named
    printf 'by name' >named &
    holds 'by name' two named
    { printf 'one '; sleep 0.1; printf 'two '; sleep 0.1; printf three; } |
      "$data" build --out three --val-fraction 0 - >/dev/null
    [ "$("$data" cat --text three)" = 'one two three' ] || fail "pieces: $("$data" cat --text three)"
    holds 'a file' four - < <(printf 'a file')
    refuse 1 'cannot read /proc/self/mem' "$data" build --out x /proc/self/mem
    exec 5</proc/self/mem # memory of this shell, whose byte 0 cannot be read
    "$data" build --out x - <&5 >build.log 2>&1 && fail 'a read error ends the text'
    told 'cannot read standard input'
    "$data" build --out x - <. >build.log 2>&1 && fail 'a folder as standard input'
    told 'is a folder'
    "$data" build --out x - </dev/null >build.log 2>&1 && fail 'nothing on standard input'
    told 'standard input is empty'
    [ ! -e x ] || fail 'a refused build left something behind'
    ;;
  split)
    # With 20 or more documents, each is in one split, which depends only on its number.
    texts() { seq -f '{"text":"<%g>"}' 1 "$1" >"$1.jsonl"; }
    documents() { "$data" cat --text "$1" | grep -o '<[0-9]*>' || true; }
    for count in 20 60 400; do
      texts $count
      "$data" build --out "many$count" --val-fraction 0.2 $count.jsonl >/dev/null
      documents "many$count/train" >train
      documents "many$count/val" >"val$count"
      sort -V train "val$count" | cmp -s - <(seq -f '<%g>' 1 $count) ||
        fail "$count: train and val are not each document once"
      cmp -s train <(sort -V train) || fail "$count: train is out of order"
      cmp -s <(head -n "$(wc -l <val20)" "val$count") val20 || fail "$count: another val of the first 20"
    done
    share=$(wc -l <val400)
    if [ "$share" -lt 50 ] || [ "$share" -gt 110 ]; then
      fail "$share of 400 documents are val, not about 80"
    fi
    # With fewer than 20 documents, val is the end of each.
    texts 19
    "$data" build --out few --val-fraction 0.5 19.jsonl >/dev/null
    # Val is the last byte of the 3 bytes of "<1>", and the last 2 of the 4 bytes of "<10>".
    want='<1<2<3<4<5<6<7<8<9<1<1<1<1<1<1<1<1<1<1'
    [ "$("$data" cat --text few/train)" = "$want" ] || fail "few: $("$data" cat --text few/train)"
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
