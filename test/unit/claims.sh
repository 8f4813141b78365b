# shellcheck shell=bash
# Claims about the tree, for the scripts of this folder; sourced, never run.
# They need a temporary directory $T.

HELD=0
BROKEN=0

claim() {
    local what=$1
    shift
    if "$@" >"$T/out" 2>&1; then
        HELD=$((HELD + 1))
        return 0
    fi
    BROKEN=$((BROKEN + 1))
    printf 'NOT TRUE: %s\n' "$what"
    sed 's/^/    | /' "$T/out" | head -n 20
}

# is_noticed WHAT RULE ARG...: the rule fails where it is broken on purpose.
is_noticed() {
    local what=$1
    shift
    claim "noticed: $what" not "$@"
}

not() {
    ! "$@" || {
        echo "expected to fail, but did not: $*"
        return 1
    }
}

# claims_finish ends the script: 0 when all claims held.
claims_finish() {
    printf 'claims %d held, %d broken\n' "$HELD" "$BROKEN"
    ((BROKEN == 0))
}
