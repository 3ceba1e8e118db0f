#!/usr/bin/env bash
# The chart and the manifests: linted, rendered with every value turned the other way, and shown to the API server that
# KUBECONFIG names, which changes nothing. Without KUBECONFIG nothing is shown to anybody.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=charts/quorate
kubernetes=1.34.0 # what is assumed where no API server is asked
namespace=default
cluster=quorate-check-example # as none is called that may be there, with a volume that cannot become smaller

if ! command -v helm >/dev/null; then
    echo "charts/check.sh: skipped: helm is not on PATH"
    exit 0
fi
server=
if [ -n "${KUBECONFIG:-}" ] && command -v kubectl >/dev/null; then server=1; fi

out=$(mktemp)
trap 'rm -f "$out" "$out".*' EXIT
fail() { echo "charts/check.sh: $*" >&2; exit 1; }

# Kinds that this API server does not have cannot be shown to it.
missing() { # GROUP
    [ -z "$(kubectl api-resources --api-group="$1" --no-headers 2>/dev/null)" ]
}
unserved=()
if [ -n "$server" ]; then
    for group in quorate.dev monitoring.coreos.com; do
        if missing "$group"; then unserved+=("$group"); fi
    done
fi

# Splits at ---, leaves out the documents of groups that are not served.
served() {
    local group
    awk -v groups="${unserved[*]:-}" '
        BEGIN { n = split(groups, unserved, " ") }
        function flush(i, keep) {
            keep = 1
            for (i = 1; i <= n; i++) if (index(text, "\napiVersion: " unserved[i] "/")) keep = 0
            if (keep) printf "%s", text
            text = ""
        }
        /^---/ { flush() }
        { text = text (text == "" ? "\n" : "") $0 "\n" }
        END { flush() }'
}

show() { # WHAT, with the objects on standard input
    [ -n "$server" ] || { cat >/dev/null; return 0; }
    served >"$out.served"
    kubectl apply --namespace "$namespace" --server-side --force-conflicts --field-manager=quorate-check \
        --dry-run=server --validate=strict -f "$out.served" >"$out.answer" 2>&1 ||
        { cat "$out.answer" >&2; fail "$1: the API server refuses it"; }
    if grep -i '^warning' "$out.answer" >&2; then fail "$1: the API server warns"; fi
}

# Kinds that helm template takes for served; helm lint does not ask.
known=()

render() { # NAME, then flags of helm
    local name=$1
    shift
    helm lint --quiet --kube-version "$kubernetes" "$chart" "$@" >"$out.lint" 2>&1 ||
        { cat "$out.lint" >&2; fail "$name: helm lint"; }
    # Without the tests: they come after an installation, and a pod whose ServiceAccount is not there yet is refused even in a dry run.
    helm template check "$chart" --namespace "$namespace" --kube-version "$kubernetes" --skip-tests "${known[@]}" \
        "$@" >"$out" || fail "$name: helm template"
    show "$name" <"$out"
    echo "ok: $name"
}

refuse() { # NAME, then flags of helm
    local name=$1
    shift
    if helm template check "$chart" --kube-version "$kubernetes" "$@" >/dev/null 2>&1; then
        fail "$name: values.schema.json lets it pass"
    fi
    echo "ok: $name is refused"
}

helm lint --strict --kube-version "$kubernetes" "$chart" >"$out.lint" || { cat "$out.lint" >&2; fail "helm lint"; }
render "as it is"
render "no definition" --set crd.install=false
render "one namespace" --set watchNamespace="$namespace"
render "another's service account" --set serviceAccount.create=false,serviceAccount.name=other
render "another's roles" --set rbac.create=false
render "an annotated service account" --set serviceAccount.name=own,serviceAccount.annotations.a=b
render "no metrics service" --set metrics.service.enabled=false
render "scraped" --set monitoring.podMonitor.enabled=true,monitoring.podMonitor.labels.release=prometheus
render "scraped in one namespace" --set monitoring.podMonitor.enabled=true,watchNamespace="$namespace"
render "rules" --set monitoring.rules.enabled=true,monitoring.rules.labels.release=prometheus
render "dashboards" --set monitoring.dashboards.enabled=true,monitoring.dashboards.annotations.folder=Quorate
render "an example, first installation" --set example.enabled=true,example.name="$cluster"
known=(--api-versions quorate.dev/v1alpha1/QuorateCluster)
render "an example, afterwards" --set example.enabled=true,example.name="$cluster"
known=()
render "another example" --set example.enabled=true,example.name="$cluster-2",example.spec.replicas=5,example.spec.image=x:1
render "a test of another cluster" --set test.endpoint=http://shop.prod.svc:7700
render "another image" --set image.repository=other/quorate,image.tag=1.2.3,image.pullPolicy=Never \
    --set 'imagePullSecrets[0].name=pull'
render "placed" --set nodeSelector.disk=fast,priorityClassName=system-cluster-critical,podLabels.a=b,podAnnotations.c=d \
    --set 'tolerations[0].key=x,tolerations[0].operator=Exists' \
    --set-json 'affinity={"nodeAffinity":{}}' --set-json 'resources={}'
render "told more" --set fullnameOverride=operator,log=debug --set 'extraArgs[0]=--help' \
    --set 'extraEnv[0].name=A,extraEnv[0].value=b'
refuse "a value that is not there" --set replicas=2
refuse "an odd pull policy" --set image.pullPolicy=Sometimes
refuse "an odd tag" --set image.tag=a/b
refuse "a long tag" --set image.tag="$(printf '%0129d' 0 | tr 0 t)"
refuse "an odd name" --set fullnameOverride=Upper_case
refuse "a name that is no label" --set fullnameOverride=with.dots
refuse "a long name" --set fullnameOverride="$(printf '%051d' 0 | tr 0 n)"
refuse "an odd cluster name" --set example.name=UPPER
refuse "an example without a volume" --set example.spec.storage=null
refuse "an odd interval" --set monitoring.podMonitor.interval=often

# There is something to test as it is, and a key to put and get where there is a cluster.
tests() { # EXPECTED, then flags of helm
    local expected=$1 found
    shift
    found=$(helm template check "$chart" --kube-version "$kubernetes" "$@" | grep -c 'helm.sh/hook: test$') || true
    [ "$found" = "$expected" ] || fail "$found tests in place of $expected: $*"
}
tests 1
tests 2 --set test.endpoint=http://shop.prod.svc:7700
tests 2 --set example.enabled=true
echo "ok: tests"

# What the operator may do is the same with and without Helm.
rights() { awk '/^rules:/ { on = 1; next } /^[^ ]/ { on = 0 } on && !/^ *#/'; }
helm template quorate-controller "$chart" --namespace quorate-system --kube-version "$kubernetes" \
    --show-only templates/rbac.yaml | rights >"$out.chart"
rights <manifests/operator.yaml >"$out.plain"
diff -u "$out.chart" "$out.plain" >&2 || fail "manifests/operator.yaml has other rights than the chart"
echo "ok: the same rights with and without Helm"

show manifests/crd.yaml <manifests/crd.yaml
sed "s/quorate-system/$namespace/" manifests/operator.yaml | show manifests/operator.yaml
sed "s/^  name: example$/  name: $cluster/" manifests/example.yaml | show manifests/example.yaml
echo "ok: manifests${server:+, as the API server sees them}"
[ ${#unserved[@]} -eq 0 ] || echo "not shown to the API server, which does not serve them: ${unserved[*]}"
