#!/bin/sh
# What keyset.c's taking of a key has been compiled to in the module: nothing is
# pushed, called or put on the stack, and no vector register is used.
# It is for what a compiler may make of other source: gcc 12 pushed a register in
# versions of it with a loop. The options of keyset.c (provider/CMakeLists.txt)
# are for that, too: seen to fail without them in a build by gcc with -Os, and in
# one by clang with -fno-omit-frame-pointer.
set -eu

code=$(objdump -d --no-show-raw-insn "$1" | sed -n '/<take_kept[.a-z0-9]*>:$/,/^$/p')
case $code in
*cmpxchg*) ;;
*)
    echo "no code of take_kept() in $1" >&2
    exit 1
    ;;
esac
if echo "$code" | grep -E '	(push|call)|\(%rsp|\(%rbp|%[xyz]mm'; then
    echo "taking a key keeps something on the caller's stack" >&2
    exit 1
fi
