# lab-net.sh - the network of hack/lab: sites, the links between them, hosts, and cuts.
#
# Sourced by hack/lab, never run. Needs $LOCATIONS and $NODES. A site is a namespace that routes for its hosts: one for each
# Location, "cp" (the control plane's host), and "machine" (this machine as it is, which routes for nobody). Every two sites
# are joined by a veth pair of their own; a host hangs on its site by another one.
#
#   site number i   cp 0, Locations from 1 on, machine 15
#   its address     $NET.i.253        on every interface of it
#   its hosts       $NET.i.1 …        nodes
#                   $NET.i.254        the gateway
#   its VMs         $VM_NET.16*i.0/20, of which node n has $VM_NET.(16*i+n).0/24
#
# Interfaces: "to-SITE" (on the machine $PREFIX""SITE) and HOST in a site's namespace, "eth0" in a host's.

NET=${BERTH_LAB_NET:-10.110}
VM_NET=${BERTH_LAB_VM_NET:-10.111}
PREFIX=berthlab- # of namespaces, and of interfaces on the machine
LAB_NODES_MAX=14
LAB_LOCATIONS_MAX=14

sites() { echo "cp $LOCATIONS machine"; }
hosts() { # all, or those of one Location
	local l n
	for l in ${1:-$LOCATIONS}; do
		for ((n = 1; n <= NODES; n++)); do echo "$l-$n"; done
		echo "$l-gw"
	done
}
nodes() { hosts | grep -v -- '-gw$'; }
is_site() { case " $(sites) " in *" $1 "*) ;; *) return 1 ;; esac; }
is_host() { hosts | grep -qxF -- "$1"; }
site_of() { echo "${1%-*}"; }

site_number() {
	local i=0 s
	[ "$1" != machine ] || { echo 15; return; }
	for s in cp $LOCATIONS; do
		[ "$s" != "$1" ] || { echo $i; return; }
		i=$((i + 1))
	done
}
site_address() { echo "$NET.$(site_number "$1").253"; }
host_address() {
	local n=${1##*-}
	[ "$n" != gw ] || n=254
	echo "$NET.$(site_number "$(site_of "$1")").$n"
}
host_vm_cidr() { echo "$VM_NET.$((16 * $(site_number "$(site_of "$1")") + ${1##*-})).0/24"; }

# ---- namespaces ----

netns() { echo "/run/netns/$PREFIX$1"; }
in_net() { # site or host, command...: with its network, and this machine's everything else
	local where=$1
	shift
	if [ "$where" = machine ]; then "$@"; else nsenter --net="$(netns "$where")" "$@"; fi
}
net_exists() { [ "$1" = machine ] || [ -e "$(netns "$1")" ]; }
netns_make() {
	[ -e "$(netns "$1")" ] || ip netns add "$PREFIX$1"
	ip -n "$PREFIX$1" link set lo up
}
netns_option() { [ "$1" = machine ] || echo "netns $PREFIX$1"; }

# Ends every process of a namespace at once, as a loss of power does, and removes the cgroups that libvirt had made for them.
netns_kill() {
	local pids groups='' tries=0 group
	net_exists "$1" || return 0
	while pids=$(ip netns pids "$PREFIX$1") && [ -n "$pids" ]; do
		groups+=$(for p in $pids; do sed -n 's#^[^:]*:[^:]*:\(.*/[^/]*qemu[^/]*berth-[^/]*\).*#\1#p' "/proc/$p/cgroup" 2>/dev/null; done)$'\n'
		# shellcheck disable=SC2086
		kill -KILL $pids 2>/dev/null || true
		tries=$((tries + 1))
		[ $tries -le 100 ] || die "processes of $1 do not end: $pids"
		sleep 0.1
	done
	for group in $(sort -u <<<"$groups"); do
		find /sys/fs/cgroup -depth -type d -path "/sys/fs/cgroup/*$group*" -exec rmdir {} \; 2>/dev/null || true
	done
}

# ---- links between sites ----

port() { # site other: its interface towards the other
	if [ "$1" = machine ]; then echo "$PREFIX$2"; else echo "to-$2"; fi
}
pairs() { # every two sites, once
	local a b seen=''
	for a in $(sites); do
		for b in $seen; do echo "$b $a"; done
		seen+=" $a"
	done
}
link_end() { # site other: address, and routes to what is behind the other
	local port other i
	port=$(port "$1" "$2") other=$(site_address "$2") i=$(site_number "$2")
	in_net "$1" ip addr replace "$(site_address "$1")" peer "$other/32" dev "$port"
	in_net "$1" ip link set "$port" up
	in_net "$1" ip route replace "$NET.$i.0/24" via "$other" dev "$port"
	case $2 in cp | machine) ;; *) in_net "$1" ip route replace "$VM_NET.$((16 * i)).0/20" via "$other" dev "$port" ;; esac
}
link_make() {
	# shellcheck disable=SC2046
	in_net "$1" ip link show "$(port "$1" "$2")" >/dev/null 2>&1 ||
		ip link add name "$(port "$1" "$2")" $(netns_option "$1") type veth peer name "$(port "$2" "$1")" $(netns_option "$2")
	link_end "$1" "$2"
	link_end "$2" "$1"
}

netem_works() { unshare --net tc qdisc add dev lo root netem delay 1ms 2>/dev/null; }
link_delay() { # a b time, one way; "0" takes it away
	local a=$1 b=$2
	for _ in 1 2; do
		if [ "$3" = 0 ]; then
			in_net "$a" tc qdisc del dev "$(port "$a" "$b")" root 2>/dev/null || true
		else
			in_net "$a" tc qdisc replace dev "$(port "$a" "$b")" root netem delay "$3"
		fi
		a=$2 b=$1
	done
}

site_make() {
	local i
	[ "$1" != machine ] || return 0
	netns_make "$1"
	# A host cannot send with another one's address: what comes in from it has to be what is routed to it.
	in_net "$1" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter'
	in_net "$1" nft list table inet lab >/dev/null 2>&1 || in_net "$1" nft -f - <<-EOF
		table inet lab {
			set cut {
				type ifname
			}
			chain in {
				type filter hook prerouting priority raw
				iifname @cut drop
			}
			chain out {
				type filter hook postrouting priority filter
				oifname @cut drop
			}
		}
	EOF
	i=$(site_number "$1")
	# Nobody answers for a host that has lost its power.
	[ "$1" = cp ] || in_net "$1" ip route replace blackhole "$NET.$i.0/24"
	[ "$1" = cp ] || in_net "$1" ip route replace blackhole "$VM_NET.$((16 * i)).0/20"
}

# ---- hosts ----

host_net_make() {
	local site address router
	site=$(site_of "$1") address=$(host_address "$1") router=$(site_address "$(site_of "$1")")
	netns_make "$1"
	in_net "$1" ip link show eth0 >/dev/null 2>&1 ||
		ip link add name eth0 netns "$PREFIX$1" type veth peer name "$1" netns "$PREFIX$site"
	in_net "$1" ip addr replace "$address" peer "$router/32" dev eth0
	in_net "$1" ip link set eth0 up
	in_net "$1" ip route replace default via "$router"
	in_net "$site" ip addr replace "$router" peer "$address/32" dev "$1"
	in_net "$site" ip link set "$1" up
	case $1 in *-gw) return ;; esac
	in_net "$site" ip route replace "$(host_vm_cidr "$1")" via "$address" dev "$1"
	in_net "$1" ip route replace blackhole "$(host_vm_cidr "$1")" # addresses that no VM has
}

host_net_remove() {
	netns_kill "$1"
	[ ! -e "$(netns "$1")" ] || ip netns del "$PREFIX$1"
	# The namespace itself goes a moment later; its name in the site must be free for the next one.
	in_net "$(site_of "$1")" ip link del "$1" 2>/dev/null || true
}

# ---- cuts ----

cut_place() { # host, or two sites: "namespace interface", where their packets are dropped
	if [ $# = 1 ]; then
		is_host "$1" || die "there is no host $1" "hosts: $(hosts | xargs)"
		echo "$(site_of "$1") $1"
		return
	fi
	local s
	for s in "$@"; do is_site "$s" || die "there is no Location $s" "there are: $(sites)"; done
	[ "$1" != "$2" ] || die "$1 has no link to itself"
	if [ "$1" = machine ] || { [ "$1" = cp ] && [ "$2" != machine ]; }; then set -- "$2" "$1"; fi
	echo "$1 $(port "$1" "$2")"
}
cut_change() { # add|delete, then as above
	local verb=$1 place site port
	shift
	place=$(cut_place "$@") || exit 1
	read -r site port <<<"$place"
	in_net "$site" nft add element inet lab cut "{ \"$port\" }" # only what is there can be deleted
	[ "$verb" = add ] || in_net "$site" nft delete element inet lab cut "{ \"$port\" }"
}
cuts() { # what is cut, one line each
	local s port
	for s in cp $LOCATIONS; do
		for port in $(in_net "$s" nft list set inet lab cut 2>/dev/null | sed -n 's/[^"]*"\([^"]*\)"[^"]*/\1 /gp'); do
			case $port in to-*) echo "$s ${port#to-}" ;; *) echo "$port" ;; esac
		done
	done
}

net_make() {
	local a b
	for a in $(sites); do site_make "$a"; done
	while read -r a b; do link_make "$a" "$b"; done < <(pairs)
}
net_remove() { # everything with our prefix, whatever made it
	local ns link
	for ns in /run/netns/"$PREFIX"*; do
		[ -e "$ns" ] || continue
		ns=${ns##*/}
		netns_kill "${ns#"$PREFIX"}"
	done
	for link in /sys/class/net/"$PREFIX"*; do
		[ ! -e "$link" ] || ip link del "${link##*/}" 2>/dev/null || true
	done
	for ns in /run/netns/"$PREFIX"*; do
		[ ! -e "$ns" ] || ip netns del "${ns##*/}"
	done
}
