#!/usr/bin/env bash
# What is looked at in the virtual machine, by step (the argument); each step ends with 1 if what has
# to be so is not. __main__.py sends it by SSH.
set -euo pipefail
cd /root/tinderbox
text=/root/text
server=fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com

# is WHAT WANTED FOUND
is() {
  echo "$1: $3"
  [[ $3 == "$2" ]] || {
    echo "$1 has to be: $2"
    exit 1
  }
}

python() {
  .venv/bin/python "$@"
}

# value EXPRESSION: of `it`, the JSON on standard input.
value() {
  python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"
}

node() {
  local address
  address=$(python -m localcloud status --json | value 'it["instances"][0]["public"]')
  ssh -i .tinderbox/local/id_ed25519 -o StrictHostKeyChecking=no -o LogLevel=ERROR "admin@$address" sudo "$@"
}

# What a fresh host is: nothing that the local cloud needs is there yet.
host() {
  systemctl is-system-running --wait || systemctl --failed
  uname -r
  systemctl --version | head -1
  is "first process" systemd "$(ps -p 1 -o comm=)"
  is "cgroups" cgroup2fs "$(stat -fc %T /sys/fs/cgroup)"
  grep -cE '^(overlay|br_netfilter|nf_conntrack) ' /proc/modules || echo "no module loaded yet"
  command -v docker-registry dnsmasq systemd-nspawn || echo "no program installed yet"
}

up() {
  printf 'a b a\nc a b\n' >"$text"
  # One node: emulation has no time for three, nor for cost analytics and the history server.
  python - <<'END'
import yaml
with open("Pulumi.local.yaml") as file:
    stack = yaml.safe_load(file)
stack["config"]["tinderbox:nodes"]["count"] = 1
stack["config"].pop("tinderbox:opex", None)
stack["config"]["tinderbox:spark"] = {"history": False}
with open("Pulumi.local.yaml", "w") as file:
    yaml.safe_dump(stack, file)
END
  make up INPUT="$text"
  is "count" "a 3, b 2, c 1" "$(make -s outputs | value '", ".join("%(word)s %(count)s" % e for e in it["wordCount"]["top"])')"
}

look() {
  local group
  python -m localcloud status
  group=$(echo /sys/fs/cgroup/system.slice/tinderbox.scope/i-*)
  systemctl show tinderbox.scope -p Delegate -p DelegateControllers -p ControlGroup
  is "the machine's limit" "$((4 * 1024 * 1024 * 1024))" "$(<"$group/memory.max")"
  echo "the machine's memory: $(<"$group/memory.current")"
  echo "its controllers: $(<"$group/payload/cgroup.controllers")"
  find "$group" -maxdepth 1 -type d -printf '%f '
  echo
  is "cgroups in the machine" cgroup2fs "$(node stat -fc %T /sys/fs/cgroup)"
  is "containerd's driver" "SystemdCgroup = true" "$(node grep -o "SystemdCgroup.\*" /etc/containerd/config.toml)"
  is "kubelet's driver" "cgroupDriver: systemd" "$(node grep cgroupDriver /var/lib/kubelet/config.yaml)"
  echo "pods: $(node find /sys/fs/cgroup/kubepods.slice -name 'cri-containerd-*.scope' | wc -l) containers in scopes of systemd's"
  node find /sys/fs/cgroup/kubepods.slice -name memory.max -exec grep -l '^[0-9]' {} + | head -3
  is "the kernel's configuration" /boot/config-"$(uname -r)" "$(node ls "/boot/config-$(uname -r)")"
  echo "its own name by its files: $(node getent -s files hosts "$(node hostname)")"
}

preview() {
  make preview | tee /root/preview
  ! grep -E '^ +[-+~]|[0-9]+ to (create|update|delete|replace)' /root/preview
}

destroy() {
  make destroy
  is "left" "" "$(python -c 'from localcloud.daemons import sweep; print("\n".join(sweep.leftovers()))')"
  is "our unit" inactive "$(systemctl is-active tinderbox.scope || true)"
  is "machines' groups" "" "$(find /sys/fs/cgroup -name 'tinderbox*' -o -name 'i-*')"
}

# storage.sh as a step runs it, against a real server; the kubelet is the mirror's package.
step_storage() {
  python -c "
from components.cluster.steps import read_script, shell_input
print(shell_input(read_script('storage.sh'), {'FILE_SYSTEM': '$server'}))" | SUDO_UID=1000 bash -s
}

mounted() {
  findmnt -n -o SOURCE,FSTYPE,OPTIONS /srv/shared
  is "file system" nfs4 "$(findmnt -n -o FSTYPE /srv/shared)"
  is "its version" vers=4.1 "$(findmnt -n -o OPTIONS /srv/shared | tr , '\n' | grep ^vers)"
  is "its port" noresvport "$(findmnt -n -o OPTIONS /srv/shared | tr , '\n' | grep resvport)"
}

storage() {
  mkdir -p /srv/export /srv/shared
  # As EFS: clients call from any port. Root's files are root's.
  echo '/srv/export *(rw,insecure,no_root_squash,no_subtree_check,fsid=0)' >/etc/exports
  systemctl restart nfs-server
  grep -q "$server" /etc/hosts || echo "127.0.0.1 $server" >>/etc/hosts
  dpkg -i --force-depends "$(find /root/.cache/tinderbox/mirror -name 'kubelet_*.deb' | head -1)" || true
  systemctl enable kubelet
  for _ in first second; do
    step_storage
    mounted
  done
  is "on the server" "185:185 2775" "$(stat -c '%u:%g %a' /srv/export/spark/events)"
  is "the mount's unit" active "$(systemctl is-active srv-shared.mount)"
}

reboot() {
  systemctl reboot
}

# show UNIT PROPERTY
show() {
  systemctl show "$1" --property "$2" --value
}

# The mount first, then the kubelet, and no kubelet without it; it comes when the mount can be made.
after() {
  local mount kubelet
  mounted
  mount=$(show srv-shared.mount ActiveEnterTimestampMonotonic)
  kubelet=$(journalctl -b -u kubelet -o json | sed -n 1p | value 'it["__MONOTONIC_TIMESTAMP"]')
  echo "mounted at $mount, kubelet at $kubelet (microseconds after the boot)"
  ((mount < kubelet))
  systemctl stop kubelet srv-shared.mount nfs-server
  systemctl start kubelet --no-block
  SECONDS=0
  until [[ $(show kubelet SubState) == auto-restart* ]]; do ((SECONDS < 900)) && sleep 1; done
  is "kubelet's own start without the mount" 0 "$(show kubelet ExecMainStartTimestampMonotonic)"
  systemctl start nfs-server
  until [[ $(show kubelet ExecMainStartTimestampMonotonic) != 0 ]]; do ((SECONDS < 1800)) && sleep 1; done
  mounted
}

"$1"
