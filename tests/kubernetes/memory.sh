#!/usr/bin/env bash
# How much memory the operator takes that looks after many clusters: it runs here, as a process of its own, against the cluster at
# KUBECONFIG. No Kubernetes node will run the pods, so the objects are real and the nodes are not there.
#
#   tests/kubernetes/memory.sh [CLUSTERS] [SECONDS]      50 clusters of three, looked after for 120 s
set -euo pipefail
cd "$(dirname "$0")/../.."

clusters=${1:-50} seconds=${2:-120} limit_mib=64
operator=${OPERATOR:-target/release/quorate-controller}
die() { echo "memory: $*" >&2; exit 1; }
[ -x "$operator" ] || die "no $operator: cargo build --release --locked --bin quorate-controller, or name another with OPERATOR"

namespace=quorate-test-memory-$RANDOM pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true
}
trap finish EXIT

kubectl create namespace "$namespace" >/dev/null
for number in $(seq "$clusters"); do
    cat <<END
---
apiVersion: quorate.dev/v1alpha1
kind: QuorateCluster
metadata: {name: db-$number}
spec:
  replicas: 3
  image: quorate:none
  storage: {size: 1Gi}
  podTemplate: {nodeSelector: {example.com/there-is-none: "true"}}
END
done | kubectl apply --namespace "$namespace" -f - >/dev/null

"$operator" run --namespace "$namespace" --lease-namespace "$namespace" --metrics-listen 127.0.0.1:0 2>target/memory.log &
pid=$!
for _ in $(seq "$seconds"); do
    sleep 1
    kill -0 "$pid" 2>/dev/null || die "the operator has ended: $(tail -n 3 target/memory.log)"
done
pods=$(kubectl get pods --namespace "$namespace" --no-headers 2>/dev/null | wc -l)
[ "$pods" = $((clusters * 3)) ] || die "$pods pods are there, not $((clusters * 3))"
mib() { awk -v name="$1:" '$1 == name {printf "%.1f", $2 / 1024}' "/proc/$pid/status"; }
now=$(mib VmRSS) most=$(mib VmHWM)
echo "memory: $clusters clusters, $pods pods, after $seconds s: $now MiB resident, $most MiB at most"
awk -v most="$most" -v limit=$limit_mib 'BEGIN {exit most < limit ? 0 : 1}' || die "$most MiB are more than $limit_mib"
