#!/bin/bash
# Turns the CSV of the benchmarks into pictures:
#   bench/plot.sh FILE.csv...      writes FILE.svg beside each
# One group of bars for each case, one bar for each column: the ratio to the
# baseline (stock, if the file names none) with its quartiles. Columns that
# could not run are left out. Where ratios are far apart the axis is logarithmic.
# cmake --build build --target plots runs every benchmark before.
set -euo pipefail

export LC_ALL=C

die() {
    echo "$0: $*" >&2
    exit 1
}

# rows_of FILE: the header and the rows, without what is said of the machine.
rows_of() {
    grep -v '^#' "$1"
}

# is_ours FILE: the header is that of a benchmark's CSV.
is_ours() {
    local header
    header=$(rows_of "$1" | sed -n 1p) || return 1
    [[ $header == bench,case,column,rounds,* &&
        $header == *,ratio,ratio_q1,ratio_q3,* ]]
}

baseline_of() {
    local name
    name=$(sed -n 's/^# baseline: //p' "$1")
    echo "${name:-stock}"
}

columns_of() {
    rows_of "$1" | awk -F, -v baseline="$2" 'NR > 1 && $3 != baseline &&
        $4 != "n/a" && !seen[$3]++ { print $3 }'
}

# A line for each case: its name, then ratio and quartiles of each column.
table_of() {
    rows_of "$1" | awk -F, -v columns="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        !($2 in known) { known[$2] = 1; order[++cases] = $2 }
        $4 != "n/a" {
            of[$2, $3] = $at["ratio"] " " $at["ratio_q1"] " " $at["ratio_q3"]
        }
        END {
            n = split(columns, name, "\n")
            for (c = 1; c <= cases; c++) {
                line = "\"" order[c] "\""
                for (i = 1; i <= n; i++) {
                    figures = of[order[c], name[i]]
                    line = line " " (figures == "" ? "? ? ?" : figures)
                }
                print line
            }
        }'
}

# The machine's line is the title's second: a picture without it says nothing.
title_of() {
    sed -n 's/^# benchmark: //p' "$1"
    sed -n 's/^# machine: //p' "$1"
}

# axis_of TABLE: of the ratios, which are each third field from the second on.
axis_of() {
    awk '{
            for (i = 2; i <= NF; i += 3) {
                if ($i + 0 > max) max = $i + 0
                if ($i + 0 > 0 && (!min || $i + 0 < min)) min = $i + 0
            }
        }
        END {
            print (max > 100 * min ? "set logscale y" : "set yrange [0:*]")
        }' "$1"
}

# One "plot" clause for each column.
series_of() {
    local i=2 name
    while read -r name; do
        printf "'%s' using %d:%d:%d:xtic(1) title '%s', " \
            "$2" "$i" "$((i + 1))" "$((i + 2))" "$name"
        i=$((i + 3))
    done <<<"$1"
    printf "1 with lines linecolor 'black' dashtype 2 title '%s'" "$3"
}

plot() {
    local csv=$1 svg=${1%.csv}.svg columns cases title baseline
    is_ours "$csv" || die "$csv: not the CSV of a benchmark: no line" \
        "bench,case,column,rounds,... with ratio,ratio_q1,ratio_q3"
    baseline=$(baseline_of "$csv")
    columns=$(columns_of "$csv" "$baseline")
    [[ -n $columns ]] || die "$csv: no column beside $baseline has figures"
    table_of "$csv" "$columns" >"$T/table"
    cases=$(wc -l <"$T/table")
    title=$(title_of "$csv")
    gnuplot <<EOF
set terminal svg size $((600 + 60 * cases)),600 dynamic background '#ffffff'
set output '$svg'
set title "${title//$'\n'/\\n}" noenhanced
set datafile missing '?'
set style data histogram
set style histogram errorbars gap 1.5 linewidth 1
set style fill solid 0.8 border -1
set xtics rotate by -45 noenhanced
set key outside right top noenhanced
set ylabel 'time of $baseline / time'
$(axis_of "$T/table")
set grid ytics
plot $(series_of "$columns" "$T/table" "$baseline")
EOF
    echo "$svg"
}

(($# > 0)) || die 'usage: plot.sh FILE.csv...'
command -v gnuplot >/dev/null || die 'gnuplot is missing (Debian: gnuplot-nox)'
T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-plot.XXXXXX")
trap 'rm -rf "$T"' EXIT
for file in "$@"; do
    [[ $file == *.csv && -r $file ]] || die "$file: not a readable .csv"
    plot "$file"
done
