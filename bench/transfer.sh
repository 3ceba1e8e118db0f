#!/usr/bin/env bash
# What a transfer does to the requests beside it: p99 at half the quiet peak rate, quiet and while a fourth node takes its share,
# in one run on one cluster. Prints a table, and fails when the second is twice the first or more, or a request failed.
#
# From the environment:
#   QUORATE            the command [target/release/quorate, built when it is not there]
#   OPERATION          put or get [put]
#   KEYS, VALUE_BYTES  what the nodes hold; it has to take longer to move than SECONDS [600000, 1024]
#   SECONDS_EACH       how long each measurement takes [8]
#   DIRECTORY          where the cluster's data goes, several GB of it [a new temporary one]
#   DEV_FLAGS          further flags of `quorate dev`, such as --node-setting transfer_bytes_per_s=8388608
set -euo pipefail
cd "$(dirname "$0")/.."

quorate=${QUORATE:-target/release/quorate}
operation=${OPERATION:-put}
keys=${KEYS:-600000}
value_bytes=${VALUE_BYTES:-1024}
seconds=${SECONDS_EACH:-8}
# The load goes to a few of the keys: it reads them all before it begins.
load_keys=$((keys < 20000 ? keys : 20000))

if [ -z "${QUORATE:-}" ]; then
    cargo build --release --quiet -p quorate-cli
fi

directory=${DIRECTORY:-$(mktemp -d)}
mkdir -p "$directory"
# shellcheck disable=SC2086
"$quorate" dev --port-base 0 --output json --data "$directory/data" ${DEV_FLAGS:-} >"$directory/ready" &
dev=$!
clean_up() {
    kill "$dev" 2>/dev/null && wait "$dev" 2>/dev/null || true
    [ -n "${DIRECTORY:-}" ] || rm -rf "$directory"
}
trap clean_up EXIT
until [ -s "$directory/ready" ]; do
    kill -0 "$dev"
    sleep 0.1
done
QUORATE_ENDPOINT=$(grep -o '"grpc":"[^"]*"' "$directory/ready" | cut -d'"' -f4 | paste -sd,)
export QUORATE_ENDPOINT

# A field of a report, by its name.
field() { grep -o "\"$1\":[0-9.]*" | head -n 1 | cut -d: -f2; }
bench() { "$quorate" bench "$1" --session --output json --value-bytes "$value_bytes" "${@:2}"; }

echo "load of the machine before: $(cut -d' ' -f1-3 /proc/loadavg)"
bench get --keys "$keys" --seconds 0.1 --warm-up 0s >/dev/null
peak=$(bench "$operation" --keys "$load_keys" --seconds "$seconds" | field ops_per_second)
half=$(awk "BEGIN { print $peak / 2 }")
quiet=$(bench "$operation" --keys "$load_keys" --seconds "$seconds" --rate "$half")
"$quorate" dev add --no-wait
busy=$(bench "$operation" --keys "$load_keys" --seconds "$seconds" --rate "$half")
if ! "$quorate" layout show --output json | grep -q '"stage":"gather"'; then
    echo "the transfer was over before the measurement: more KEYS, or fewer SECONDS_EACH" >&2
    exit 1
fi
echo "load of the machine after: $(cut -d' ' -f1-3 /proc/loadavg)"

# An open loop that falls behind measures its own queue.
for run in "$quiet" "$busy"; do
    reached=$(echo "$run" | field ops_per_second)
    if awk "BEGIN { exit !($reached < 0.95 * $half) }"; then
        echo "only $reached of $half a second were reached: the machine is too busy to measure" >&2
        exit 1
    fi
done

p99() { echo "$1" | field p99_us; }
ratio=$(awk "BEGIN { printf \"%.2f\", $(p99 "$busy") / $(p99 "$quiet") }")
errors=$(($(echo "$quiet" | field errors) + $(echo "$busy" | field errors)))
echo "quiet peak: $peak $operation/s; at $half a second:"
printf '%-20s %12s %12s %12s\n' "" "OPS/S" "P50 US" "P99 US"
row() { printf '%-20s %12.0f %12s %12s\n' "$1" "$(echo "$2" | field ops_per_second)" "$(echo "$2" | field p50_us)" "$(p99 "$2")"; }
row quiet "$quiet"
row "during a transfer" "$busy"
echo "p99 during a transfer is $ratio times the quiet one; $errors requests failed"
awk "BEGIN { exit !($ratio < 2 && $errors == 0) }"
