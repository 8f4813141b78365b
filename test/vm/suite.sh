#!/bin/bash
# suite.sh BUILD: what must be seen on protection keys, for a CPU without them:
# runs a part of the tests with backend mpk in the emulated machine of run.sh.
# Emulation is some twenty times slower, so it is a part. Exit status 77 when
# the CPU has keys (the tests themselves run then) or there is no emulator.
set -euo pipefail

BUILD=$1
VM=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The core, the attacks, and one program for each thing the provider does.
TESTS='^((domain|init|gate|heap|heap_attack|fork|thread|tsd)_test\.mpk'
TESTS+='|group(_blocks|_pages)?_test\.mpk'
TESTS+='|vkey(_block|_share|_init|_misuse|_fail|_thread)?_test\.mpk'
TESTS+='|attack_.*\.mpk|scan_test'
TESTS+='|(attack_key|tls)_test\.mpk)$'
# The same as with the full profile.
NOT='^attack_entry(_asked|_pointers|_rewrite)?_test\.mpk$'

if grep -qw ospke /proc/cpuinfo; then
    echo "skipped: this CPU has protection keys, the tests run on it"
    exit 77
fi

# The guest sometimes does not come up on a busy machine (status 125): it is
# given three chances.
for ((try = 1; ; try++)); do
    status=0
    # Its kernel counts the secretmem of all tests that run together. Tests that
    # take all mappings a process may have need fewer of them here.
    "$VM/run.sh" -t 3000 -m 4096 -w "$BUILD" -- bash -c \
        'sysctl -qw vm.max_map_count=8192 && exec "$@"' bash \
        prlimit --memlock=unlimited \
        ctest --test-dir "$BUILD" -j 2 --output-on-failure --timeout 1200 \
        --no-tests=error -R "$TESTS" -E "$NOT" || status=$?
    ((status == 125 && try < 3)) || break
done
if ((status == 125)); then
    echo "skipped: no emulated machine could be had"
    exit 77
fi
exit "$status"
