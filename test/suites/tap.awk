# What became of each test of a recipe of OpenSSL's test suite: reads its
# output, TAP with subtests. Prints a line for each innermost test, "ok NAME" or
# "not NAME", with the names of the tests around it before its own, joined by
# " / ". A subtest's results come before the line that names it. A test without
# a name has its number. A test that failed without one inside it failing has a
# line of its own.
#
#   awk -f tap.awk OUTPUT

function depth_of(line) {
    match(line, /^ */)
    return int(RLENGTH / 4)
}

function name_of(line,    number) {
    sub(/^ *(not )?ok /, "", line)
    number = line
    sub(/ .*/, "", number)
    sub(/^[0-9]+( - )?/, "", line)
    sub(/ *# (skip|SKIP).*/, "", line)
    # The tree that this profile runs in.
    gsub(/tree\\?-[a-z]+/, "tree", line)
    # out_option makes one up.
    gsub(/[A-Za-z0-9]+.randomname/, "randomname", line)
    return line ~ /^ *$/ ? number : line
}

function add(depth, outcome, name) {
    path[depth, ++tests[depth]] = name
    became[depth, tests[depth]] = outcome
}

# What is one level deeper belongs to this test. Returns whether some failed.
function adopt(depth, name,    i, some) {
    for (i = 1; i <= tests[depth + 1]; i++) {
        add(depth, became[depth + 1, i], name " / " path[depth + 1, i])
        some = some || became[depth + 1, i] == "not"
    }
    return some
}

/^ *(not )?ok [0-9]+/ {
    depth = depth_of($0)
    name = name_of($0)
    outcome = $0 ~ /^ *not / && $0 !~ /# TODO/ ? "not" : "ok"
    inside = tests[depth + 1] > 0
    some = adopt(depth, name)
    if (!inside || (outcome == "not" && !some))
        add(depth, outcome, name)
    tests[depth + 1] = 0
}

END {
    for (i = 1; i <= tests[0]; i++)
        print became[0, i], path[0, i]
}
