# shellcheck shell=bash disable=SC2034
# The commands of a node, as far as first boot notices them; every bash of a played node reads this first (BASH_ENV).
# They play what a real boot showed: kubeadm's preflight, what reset leaves, and a power cut at any `point` in between.
# $NODE is the played node: its disk in $NODE/root, and what the tests look at beside that.

# A moment at which the power can be cut: all processes of the node end at once.
point() {
  local count=0
  if [ -e "$NODE/points" ]; then read -r count <"$NODE/points"; fi
  echo "$((++count))" >"$NODE/points"
  echo "$*" >>"$NODE/calls"
  if [ "$count" = "${CUT-}" ]; then kill -KILL 0; fi
}

# A command that is to fail: how often is left in the first line of $NODE/fails/NAME, what it says in the others.
fails() {
  [ -e "$NODE/fails/$1" ] || return 1
  { read -r left; words=$(cat); } <"$NODE/fails/$1"
  [ "$left" -gt 0 ] || return 1
  printf '%s\n%s\n' "$((left - 1))" "$words" >"$NODE/fails/$1"
  echo "$words"
  if [ "$1" = kubeadm ]; then echo 'To see the stack trace of this error execute with --v=5 or higher'; fi
}

# What the image lacks: a unit, a module, a program, a group.
lacking() { [ -e "$NODE/lacks" ] && grep -qxF "$1" "$NODE/lacks"; }

# What is on the disk for good from here on.
sync() {
  point sync
  if [ "${CUT-0}" = 0 ]; then return; fi
  rm -rf "$NODE/durable"
  cp -a "$NODE/root" "$NODE/durable"
}

# What can fail is a command of its own (NAME calls played_NAME): so the scripts' own traps name it.
played_kubeadm() {
  case "$1 ${2-}" in
  version*) cat "$NODE/version" && exit ;;
  config*) echo registry.k8s.io/pause:3.10.1 && exit ;;
  kubeconfig*) echo "kubelet of ${!#}" ;;
  esac
  point kubeadm "$@"
  if fails kubeadm >&2; then exit 1; fi
  etc=$NODE/root/etc/kubernetes var=$NODE/root/var/lib
  case "$1 ${2-}" in
  "reset --force")
    # Of etcd's data it knows by the manifest (remove-etcd-member), of the rest by folder (cleanup-node).
    if [ -s "$etc/manifests/etcd.yaml" ]; then rm -rf "$var/etcd/member"; fi
    rm -rf "$etc/manifests"/* "$var/kubelet"/*
    point kubeadm-reset
    rm -rf "$etc/pki"/*
    point kubeadm-reset
    rm -f "$etc/admin.conf" "$etc/kubelet.conf" "$etc/bootstrap-kubelet.conf"
    ;;
  "init phase")
    [ -s "$etc/admin.conf" ] && [ -s "$var/etcd/member" ] || { echo 'error: no API server' && exit 1; }
    [ "${CUT-0}" = 0 ] || [ -e "$NODE/durable/etc/cks/cluster.made" ] || { echo 'error: a token for a cluster that a power cut would take' && exit 1; }
    echo token >"$NODE/token"
    ;;
  "init --config")
    case "$*" in
    *bootstrap-token,show-join-command*) ;;
    *"--skip-phases bootstrap-token"*) echo 'missing [bootstrap-token] phase(s) needed by "show-join-command" phase' && exit 1 ;;
    esac
    preflight "$etc/manifests/etcd.yaml" "$var/etcd/member" "$etc/kubelet.conf"
    mkdir -p "$etc/pki" "$etc/manifests" "$var/etcd" "$var/kubelet"
    if [ ! -e "$etc/pki/ca.crt" ]; then echo 'a CA of its own' >"$etc/pki/ca.crt"; fi
    [ -s "$etc/pki/ca.crt" ] || { echo 'error: ca.crt holds no certificate' && exit 1; }
    point kubeadm-certs
    cp "$etc/pki/ca.crt" "$etc/admin.conf"
    echo kubelet >"$etc/kubelet.conf"
    point kubeadm-kubeconfig
    echo etcd >"$etc/manifests/etcd.yaml"
    echo data >"$var/etcd/member"
    point kubeadm-etcd
    case " $* " in *--skip-token-print*) ;; *) echo 'kubeadm join --token abcdef.0123456789abcdef' ;; esac
    ;;
  "join --config")
    preflight "$etc/kubelet.conf" "$etc/bootstrap-kubelet.conf" "$etc/pki/ca.crt"
    mkdir -p "$etc/pki"
    echo bootstrap >"$etc/bootstrap-kubelet.conf"
    cp "$NODE/ca.crt" "$etc/pki/ca.crt"
    point kubeadm-bootstrap
    if fails tls; then rm "$etc/bootstrap-kubelet.conf" && exit 1; fi
    echo kubelet >"$etc/kubelet.conf"
    point kubeadm-tls
    rm "$etc/bootstrap-kubelet.conf"
    ;;
  esac
  point kubeadm-over
}

preflight() {
  local wrong='' file
  for file in "$@"; do
    if [ -e "$file" ]; then wrong+=$'\n\t'"[ERROR FileAvailable]: ${file#"$NODE/root"} already exists"; fi
  done
  if [ -z "$wrong" ]; then return; fi
  echo "[preflight] Some fatal errors occurred:$wrong"
  echo '[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`'
  echo 'error: error execution phase preflight: preflight checks failed'
  echo 'To see the stack trace of this error execute with --v=5 or higher'
  exit 1
}

played_kubectl() {
  point kubectl "$@"
  if fails kubectl; then return 1; fi
  case "$*" in
  apply*)
    [ -s "${!#}" ] || { echo 'error: no objects passed to apply' && return 1; }
    case "${!#}" in */policies.yaml) touch "$NODE/applied" && enforce ;; esac
    if grep -q '^kind: CustomResourceDefinition' "${!#}"; then touch "$NODE/defined"; fi
    if grep -q '^kind: App' "${!#}" && [ ! -e "$NODE/defined" ]; then
      echo 'error: resource mapping not found for name: "lab" from "'"${!#}"'": no matches for kind "App" in version "v1"'
      return 1
    fi
    ;;
  *annotate*) echo "${!#}" >>"$NODE/annotations" ;;
  esac
}

played_apt-get() {
  point apt-get "$@"
  if fails apt-get; then return 1; fi
  # A list that is there is not fetched again, also if a power cut has left it empty.
  lists=$NODE/root/var/lib/apt/lists
  source=$NODE/root/etc/apt/sources.list.d/cks-kubernetes.list key=$NODE/root/etc/apt/keyrings/cks-kubernetes.gpg
  case "$*" in
  update*)
    if [ -s "$source" ] && [ ! -s "$key" ]; then
      echo "E: The repository 'https://pkgs.k8s.io/core:/stable:/v1.34/deb  InRelease' is not signed."
      return 1
    fi
    mkdir -p "$lists"
    if [ ! -e "$lists/Packages" ]; then echo packages >"$lists/Packages"; fi
    ;;
  install*)
    [ -s "$lists/Packages" ] || { echo 'E: Unable to locate package' && return 1; }
    # Of a package that a power cut has left half unpacked dpkg has noted that; apt does nothing else before it has it.
    if [ -e "$NODE/half-installed" ] && [ ! -s "$source" ]; then
      echo "E: The package kubelet needs to be reinstalled, but I can't find an archive for it."
      return 1
    fi
    ;;
  esac
  case "$*" in
  *--reinstall*kubelet*) rm "$NODE/half-installed" ;;
  *kubeadm=*)
    # What is half unpacked has its version noted, and apt takes it for installed.
    if [ ! -e "$NODE/half-installed" ]; then
      touch "$NODE/half-installed"
      point dpkg --unpack kubelet
      rm "$NODE/half-installed"
    fi
    touch "$NODE/installed"
    ;;
  esac
  case " $* " in *" cri-tools "*) touch "$NODE/cri-tools" ;; esac
}
# Kubernetes is there from its installation on.
command() {
  case "$1 $2" in
  "-v kubeadm") [ ! -e "$NODE/bare" ] || [ -e "$NODE/installed" ] ;;
  "-v crictl") { [ ! -e "$NODE/bare" ] || [ -e "$NODE/cri-tools" ]; } && ! lacking crictl ;;
  *) builtin command "$@" ;;
  esac
}
apt-helper() { echo 'a key' >"$3"; }
gpg() {
  case "$*" in
  *--show-keys*) printf 'pub:-:\nfpr:::::::::%s:\nsub:-:\nfpr:::::::::0:\n' "$(cat "$NODE/fingerprint")" ;;
  *)
    point gpg "$@"
    echo key
    ;;
  esac
}
containerd() { cat "$NODE/containerd.toml"; }

systemctl() {
  if lacking "${!#}"; then return 1; fi
  point systemctl "$@"
  if [ "$*" = 'start --no-block kubelet.service' ]; then enforce; fi
  if [ "$*" = 'restart --no-block cks-boots-say.service' ]; then bash "$NODE/root/usr/local/sbin/cks-boots" say; fi
}
# containerd's notes of images, layers and pulls under way are on the disk at once, what it unpacks with the next sync.
images=$NODE/root/var/lib/containerd
noted() {
  if [ "${CUT-0}" = 0 ]; then return; fi
  rm -f "$NODE/durable/var/lib/containerd/$1"
  if [ -e "$images/$1" ]; then cp "$images/$1" "$NODE/durable/var/lib/containerd/$1"; fi
}
# A layer that no image has and no pull is kept by nothing.
collect() {
  local layer
  if [ -e "$images/leases" ]; then return; fi
  for layer in $(grep -vxFf "$images/listed" "$images/layers"); do rm -f "$images/$layer"; done
  cp "$images/listed" "$images/layers"
  noted layers
}
ctr() {
  case "$*" in
  *"name=="*) grep -xF "${!##name==}" "$images/listed" ;;
  *"images list"*) if fails ctr >&2; then return 1; fi && cat "$images/listed" ;;
  *"leases list"*) if [ -e "$images/leases" ]; then cat "$images/leases"; fi ;;
  *"images remove"*)
    point ctr "$@"
    grep -vxF "${!#}" "$images/listed" >"$images/kept"
    mv "$images/kept" "$images/listed"
    noted listed
    collect
    ;;
  *"leases delete"*)
    point ctr "$@"
    rm "$images/leases"
    noted leases
    collect
    ;;
  esac
  return 0
}
played_crictl() {
  point crictl "$@"
  if fails crictl; then return 1; fi
  case "$*" in
  *"pull "*)
    echo pull >"$images/leases"
    noted leases
    # A layer that is noted is not unpacked again.
    if ! grep -qxF "${!#}" "$images/layers"; then
      mkdir -p "$images/$(dirname "${!#}")"
      echo whole >"$images/${!#}"
      echo "${!#}" >>"$images/layers"
      noted layers
    fi
    point unpacked
    echo "${!#}" >>"$images/listed"
    noted listed
    rm "$images/leases"
    noted leases
    ;;
  esac
}
modprobe() {
  local module
  for module in "${@:2}"; do
    if lacking "$module"; then echo "modprobe: FATAL: Module $module not found" && return 1; fi
    if [ "$module" = nfnetlink_queue ]; then touch "$NODE/root/proc/net/netfilter/$module"; fi
  done
}
# The kubelet runs what enforces policies, once that was applied (to a worker: by the other node).
enforce() {
  if [ ! -e "$NODE/applied" ] && [ -e "$NODE/root/etc/cks/network" ]; then return; fi
  if [ -e "$NODE/dumb" ]; then return; fi
  echo '   98   3123     0 2   128     0     0        0  1' >"$NODE/root/proc/net/netfilter/nfnetlink_queue"
}
played_timedatectl() { [ ! -e "$NODE/no-time" ] && echo yes; }
networkctl() { point networkctl "$@"; }
wait-online() { :; }
getent() { ! lacking "${!#}"; }
swapoff() { :; }
sysctl() { :; }
chgrp() { :; }
# A console that somebody holds up (Ctrl-S) takes nothing, as long as it is waited for.
timeout() {
  if [ -e "$NODE/held-up" ] && [ "$2" = tee ]; then
    cat >/dev/null
    echo "$1" >>"$NODE/held-up"
    return 124
  fi
  "${@:2}"
}
sleep() { echo "$1" >>"$NODE/slept"; }
dpkg() { :; }
dpkg-query() {
  echo 'ii  gnupg'
  if [ -e "$NODE/half-installed" ]; then echo 'iHR kubelet'; fi
}
apt-mark() { :; }

# Rules of the table nat, a line each: CHAIN and what it says.
iptables() {
  local verb=$4 chain=$5
  shift 5
  case $verb in
  --new-chain) ! grep -qx "$chain" "$NODE/nat" && echo "$chain" >>"$NODE/nat" ;;
  --flush) sed -i "/^$chain ./d" "$NODE/nat" ;;
  --append) echo "$chain $*" >>"$NODE/nat" ;;
  --check) grep -qxF -e "$chain $*" "$NODE/nat" ;;
  esac
} 2>/dev/null

# `openssl x509 -noout -checkend SECONDS -in FILE`, where the file holds the seconds that are left.
openssl() { [ "$(<"$6")" -gt "$4" ]; }
