#!/usr/bin/env bash
# Runs the scenarios of tests/kubernetes.rs on a real cluster, prints how long each took, and shows the chart and the manifests
# to its API server.
#
#   tests/kubernetes/run.sh [FILTER..]      all of them, or those whose names contain a filter
#
# Where the cluster comes from, the first that there is:
#   QUORATE_KUBERNETES_TEST_IMAGE   an image that the cluster at KUBECONFIG has already: that cluster is used as it is
#   QUORATE_K8S_TOOLS               a directory with provision.sh and cluster.sh, which make a cluster of plain processes on
#                                   this machine (default: ../shared/k8s); it is stopped again if it was not running before
#   KUBECONFIG                      any other cluster: this says how to load the image, and does nothing more
#
#   QUORATE_LONG=1   the long forms of those scenarios that have one
#   THREADS          tests at a time (default 3); each has its own namespace, operator and cluster
set -euo pipefail
cd "$(dirname "$0")/../.."

die() { echo "kubernetes: $*" >&2; exit 1; }
say() { echo "kubernetes: $*"; }

root=target/kubernetes/root log=target/kubernetes/log
mkdir -p target/kubernetes

# As `cargo test` builds them, so that nothing is built twice: when it is asked for one test, it builds dozens of crates anew, for what a
# proc macro shares with the rest depends on all that is built. The image has the programs without debug information.
pack() {
    scenarios=$(cargo test --locked --no-run --quiet --message-format=json |
        sed -n 's/.*"name":"kubernetes".*"executable":"\([^"]*\)".*/\1/p')
    [ -x "$scenarios" ] || die "cargo does not say which program has the scenarios"
    image/rootfs.sh target/debug "$root"
    strip --strip-debug -o "$root/usr/local/bin/checker" target/debug/examples/checker
}

# The provisioner of volumes on the node's own disk makes directories for root alone, whatever the pod says.
open_volumes() {
    mkdir -p "$1"
    while sleep 0.2; do chmod 0777 "$1"/* 2>/dev/null || true; done &
    opener=$!
}

opener= started= scenarios=
clean_up() {
    [ -z "$opener" ] || kill "$opener" 2>/dev/null || true
    [ -z "$started" ] || "$tools/cluster.sh" down
}
trap clean_up EXIT

tools=${QUORATE_K8S_TOOLS:-../shared/k8s}
if [ -n "${QUORATE_KUBERNETES_TEST_IMAGE:-}" ]; then
    say "using the cluster at ${KUBECONFIG:-~/.kube/config}, which has $QUORATE_KUBERNETES_TEST_IMAGE"
elif [ -x "$tools/provision.sh" ] && [ -x "$tools/cluster.sh" ]; then
    environment=$("$tools/provision.sh")
    eval "$environment"
    if ! "$tools/cluster.sh" status >/dev/null 2>&1; then
        started=yes
        "$tools/cluster.sh" up
    fi
    open_volumes /tmp/hostpath_pv
    pack
    export QUORATE_KUBERNETES_TEST_IMAGE=quorate:test
    "$tools/cluster.sh" image "$QUORATE_KUBERNETES_TEST_IMAGE" "$root" quorate-node
elif [ -n "${KUBECONFIG:-}" ]; then
    pack
    say "the image's files are in $root. Load them into the cluster, with kind for example by:"
    say "    tar -C $root --owner=0 --group=0 -c . | docker import -c 'ENTRYPOINT [\"quorate-node\"]' - quorate:test"
    say "    kind load docker-image quorate:test"
    die "then: QUORATE_KUBERNETES_TEST_IMAGE=quorate:test $0"
else
    say "there is no cluster here (no $tools, no KUBECONFIG): the scenarios are not run"
    charts/check.sh
    exit 0
fi
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
for tool in kubectl helm; do command -v $tool >/dev/null || die "$tool is not on PATH"; done

# With an API server, the chart and the manifests are shown to it, too.
if [ $# = 0 ]; then
    kubectl apply --server-side --force-conflicts -f manifests/crd.yaml >/dev/null
    kubectl wait --for=condition=Established crd/quorateclusters.quorate.dev --timeout=60s >/dev/null
    charts/check.sh
fi

begun=$(date +%s) failed=0
run_scenarios() {
    if [ -n "$scenarios" ]; then
        (cd crates/controller && "$scenarios" "$@")
    else
        cargo test --locked --test kubernetes -- "$@"
    fi
}
run_scenarios --nocapture --test-threads="${THREADS:-3}" "$@" 2>&1 | tee "$log" || failed=1
say "the scenarios, $(($(date +%s) - begun)) s in all:"
sed -n 's/^.*\(scenario [-0-9][-0-9]  .*\)$/    \1/p' "$log" | sort
[ $failed = 0 ] || die "some scenarios failed"
