#!/usr/bin/env bash
# Has a real API server look at the manifests: builds kube-apiserver from its Go module (once, minutes to half an hour of two cores), starts
# it with etcd on the loopback address, and asks it to apply everything that it knows the kind of, as a dry run. Nothing is left running.
# Needs Go, etcd (Debian: apt-get install etcd-server) and kubectl. Not part of the tests: `make kubernetes` needs none of these.
set -euo pipefail

readonly VERSION=34.4 # 1.34.4; its parts are v0.34.4
readonly HERE=$(cd "$(dirname "$0")" && pwd)
readonly TOOLS=${TOOLS:-$HERE/../../.tools}/kube-apiserver-1.$VERSION
readonly SERVER=$TOOLS/kube-apiserver ETCD=http://127.0.0.1:12379 PORT=16443

build() {
  mkdir -p "$TOOLS" && cd "$TOOLS"
  rm -f go.mod && go mod init dryrun
  # Its own go.mod points into a tree that the module does not hold; the parts are modules of their own.
  local listed parts part
  listed=$(go mod download -json "k8s.io/kubernetes@v1.$VERSION" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  parts=$(grep -oE 'k8s.io/[a-z-]+ => \./staging' "$listed" | cut -d' ' -f1)
  for part in $parts; do go mod edit -replace "$part=$part@v0.$VERSION"; done
  go mod edit -require "k8s.io/kubernetes@v1.$VERSION"
  printf '//go:build tools\n\npackage tools\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver"\n' > tools.go
  go mod tidy -e
  local named=k8s.io/component-base/version
  go build -o "$SERVER" -ldflags "-X $named.gitVersion=v1.$VERSION -X $named.gitMajor=1 -X $named.gitMinor=${VERSION%%.*}" \
    k8s.io/kubernetes/cmd/kube-apiserver
}

[ -x "$SERVER" ] || (build)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
openssl genrsa -out "$work/key" 2048 2>/dev/null
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" > "$work/tokens"
etcd --data-dir "$work/etcd" --listen-client-urls $ETCD --advertise-client-urls $ETCD \
  --listen-peer-urls http://127.0.0.1:12380 > "$work/etcd.log" 2>&1 &
"$SERVER" --etcd-servers=$ETCD --bind-address=127.0.0.1 --secure-port=$PORT --cert-dir="$work/certs" --token-auth-file="$work/tokens" \
  --service-account-key-file="$work/key" --service-account-signing-key-file="$work/key" --service-account-issuer=https://localhost \
  --authorization-mode=RBAC --service-cluster-ip-range=10.0.0.0/24 > "$work/server.log" 2>&1 &
export KUBECONFIG=$work/config
kubectl config set-cluster here --server=https://127.0.0.1:$PORT --insecure-skip-tls-verify=true > /dev/null
kubectl config set-credentials admin --token="$token" > /dev/null
kubectl config set-context here --cluster=here --user=admin --namespace=order-processing > /dev/null
kubectl config use-context here > /dev/null
for _ in $(seq 120); do kubectl get --raw /readyz > /dev/null 2>&1 && break; sleep 1; done
kubectl version 2> /dev/null

# What the strictest of Kubernetes' own rules for pods would refuse is told as a warning.
kubectl create namespace order-processing > /dev/null
kubectl label namespace order-processing pod-security.kubernetes.io/warn=restricted > /dev/null
for overlay in local production; do
  # The operators' kinds (Strimzi, CloudNativePG, KEDA) are unknown to a bare server.
  awk 'BEGIN { RS = "---\n"; ORS = "---\n" } /(^|\n)apiVersion: (v1|(apps|batch|policy|networking\.k8s\.io)\/v1)\n/' \
    "$HERE/rendered/$overlay.yaml" > "$work/$overlay.yaml"
  kubectl apply --dry-run=server -f "$work/$overlay.yaml" > "$work/told" 2> "$work/warned" || { cat "$work/warned"; exit 1; }
  echo "$overlay: $(grep -c 'server dry run' "$work/told") objects accepted, $(grep -c 'PodSecurity' "$work/warned" || true) warnings"
done
# It does look: a field that there is not is refused.
! sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$work/local.yaml" | kubectl apply --dry-run=server -f - > /dev/null 2> "$work/refused"
grep -m1 -o 'unknown field "[^"]*"' "$work/refused"
