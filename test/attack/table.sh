#!/bin/bash
# table.sh [BUILD]: runs every attack and writes the table of what became of
# them into docs/attacks.md and README.md, between the marks there. The column
# of backend mpk is run in an emulated machine where the CPU has no protection
# keys. Nothing is written when an attack ends otherwise than it must.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$(realpath "${1:-$ROOT/build}")
PROGRAM=$BUILD/test/attack/attack_table
BEGIN='<!-- attacks:begin -->'
END='<!-- attacks:end -->'

T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-attacks.XXXXXX")
trap 'rm -rf "$T"' EXIT

# column NAME [PREFIX...]
column() {
    local name=$1
    shift
    "$@" "$PROGRAM" "$BUILD/mpk.so" "$name" -o "$T/$name"
}

in_machine() {
    MPK_VM_OUT=$T "$ROOT/test/vm/run.sh" -t 1800 -m 3072 -w "$BUILD" -- "$@"
}

# between FILE: puts the table between the marks.
between() {
    if ! grep -qxF -- "$BEGIN" "$1" || ! grep -qxF -- "$END" "$1"; then
        echo "table.sh: no marks in $1" >&2
        return 1
    fi
    awk -v begin="$BEGIN" -v end="$END" -v table="$T/table" '
        $0 == end { skip = 0 }
        !skip { print }
        $0 == begin {
            print ""
            while ((getline line <table) > 0)
                print line
            print ""
            skip = 1
        }' "$1" >"$T/new"
    cat "$T/new" >"$1"
}

column stock
column mprotect
if grep -qw ospke /proc/cpuinfo; then
    column mpk
else
    column mpk in_machine
fi
"$PROGRAM" table "$T/stock" "$T/mprotect" "$T/mpk" >"$T/table"
between "$ROOT/docs/attacks.md"
between "$ROOT/README.md"
