# common.sh - what hack/up, hack/down and hack/lab share: messages, the state folder, services with pid files.
#
# Sourced, never run. Needs $ROOT (the repository). Everything made at run time lies below $STATE.

STATE=${BERTH_STATE:-/var/lib/berth}
MARKER=.berth-state

bold='' dim='' red='' reset=''
if [ -t 2 ]; then
	bold=$'\033[1m' dim=$'\033[2m' red=$'\033[31m' reset=$'\033[0m'
fi

step() { printf '%s==>%s %s\n' "$bold" "$reset" "$*" >&2; }
note() { printf '%s    %s%s\n' "$dim" "$*" "$reset" >&2; }
die() {
	printf '%serror:%s %s\n' "$red" "$reset" "$1" >&2
	shift
	for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root: VMs, taps and packet rules are made on this host" "run it again with sudo"
}

# ---- services: one background process each, its pid and command below $STATE/run, its output in $STATE/log ----

service_pid() { # name → pid of the running service, or nothing
	local file="$STATE/run/$1.pid" pid start
	[ -s "$file" ] || return 1
	read -r pid start <"$file"
	[ -r "/proc/$pid/stat" ] || return 1
	[ "$(process_start "$pid")" = "$start" ] || return 1 # the pid was given to another process
	echo "$pid"
}

# pid → its start time in clock ticks since boot: with the pid, an identity. Nothing for one that has ended, reaped or not.
process_start() {
	sed -n 's/.*) \([^ZX]\)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

service_start() { # name command...: starts it, or restarts it when its program or its command line changed
	local name=$1 pid stamp
	shift
	mkdir -p "$STATE/run" "$STATE/log"
	stamp="$(stat -Lc '%i %Y' "$(command -v "$1")") $*"
	if pid=$(service_pid "$name"); then
		if [ "$(cat "$STATE/run/$name.cmd" 2>/dev/null)" = "$stamp" ]; then
			note "$name is running (pid $pid)"
			return 0
		fi
		note "$name has changed: restarting"
		service_stop "$name"
	fi
	setsid "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null &
	pid=$!
	echo "$pid $(process_start "$pid")" >"$STATE/run/$name.pid"
	echo "$stamp" >"$STATE/run/$name.cmd"
	note "$name started (pid $pid)"
}

service_stop() { # name [seconds]: SIGTERM, then SIGKILL
	local name=$1 limit=${2:-20} pid tries=0
	pid=$(service_pid "$name") || { rm -f "$STATE/run/$name.pid" "$STATE/run/$name.cmd"; return 0; }
	kill -TERM "$pid" 2>/dev/null
	while service_pid "$name" >/dev/null; do
		tries=$((tries + 1))
		[ $tries -le $((limit * 10)) ] || { kill -KILL "$pid" 2>/dev/null; break; }
		sleep 0.1
	done
	rm -f "$STATE/run/$name.pid" "$STATE/run/$name.cmd"
	note "$name stopped"
}

wait_until() { # seconds what command...: until the command succeeds, with a sign of life
	local limit=$1 what=$2 begun=$SECONDS
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $((SECONDS - begun)) -lt "$limit" ] || return 1
		[ -t 2 ] && printf '\r%s    waiting for %s … %ds%s ' "$dim" "$what" $((SECONDS - begun)) "$reset" >&2
		sleep 0.2
	done
	[ -t 2 ] && printf '\r\033[K' >&2
	return 0
}

# ---- the state folder and the host ----

state_open() { # by whom: makes the folder ours
	if [ -e "$STATE" ] && [ ! -e "$STATE/$MARKER" ] && [ -n "$(ls -A "$STATE" 2>/dev/null)" ]; then
		die "$STATE is not empty and was not made by $1" "choose another folder with --state-dir"
	fi
	mkdir -p "$STATE"
	touch "$STATE/$MARKER"
}

state_check_users() { # HAProxy and QEMU run as users of their own
	local user
	chmod 755 "$STATE"
	for user in haproxy libvirt-qemu; do
		setpriv --reuid "$user" --clear-groups test -x "$STATE" ||
			die "the user $user cannot reach $STATE: a folder on the way is closed to others" \
				"open it (chmod o+x), or choose another folder with --state-dir"
	done
}

# Where no udev runs nobody gave /dev/kvm to its group; libvirt then probes QEMU anew at every start of a VM.
kvm_claim() {
	if [ -c /dev/kvm ] && getent group kvm >/dev/null && [ "$(stat -c %G /dev/kvm)" != kvm ]; then
		stat -c '%g %a' /dev/kvm >"$STATE/kvm-was"
		chgrp kvm /dev/kvm && chmod 660 /dev/kvm
	fi
}

kvm_release() {
	local group mode
	[ -s "$STATE/kvm-was" ] || return 0
	read -r group mode <"$STATE/kvm-was"
	chgrp "$group" /dev/kvm && chmod "$mode" /dev/kvm
	rm -f "$STATE/kvm-was"
}

port_is_free() { ! ss -Hltn "sport = :$1" 2>/dev/null | grep -q .; }

random_word() { # length, at most 40 → letters and digits
	local word
	word=$(head -c 96 /dev/urandom | base64 -w0 | tr -dc 'A-Za-z0-9')
	echo "${word:0:$1}"
}
