#!/usr/bin/env bash
#
# bare_boot.sh - the base line of `make bench`: how long plain QEMU takes to boot the guest's kernel to an init.
#
#   test/bench/bare_boot.sh [GUEST_FOLDER]      prints milliseconds: from starting QEMU to the first line of the init
#
# No libvirt, no disk, no network, no modules; QEMU's default machine and CPU; an initramfs that holds one static program.
# GUEST_FOLDER has the vmlinux (default build/release/guest). BARE_ACCEL=kvm measures with KVM.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
guest=${1:-$ROOT/build/release/guest}
accel=${BARE_ACCEL:-tcg}
limit=120

[ -r "$guest/vmlinux" ] || { echo "bare_boot.sh: $guest/vmlinux is missing: run 'make guest'" >&2; exit 1; }
work=$(mktemp -d)
qemu=
trap '[ -z "$qemu" ] || kill -KILL "$qemu" 2>/dev/null || true; rm -rf "$work"' EXIT

mkdir -p "$work/root"
gcc -static -Os -s -x c -o "$work/root/init" - <<'C'
#include <unistd.h>
int main(void)
{
	if (write(1, "bare init\n", 10) < 0)
		return 1;
	for (;;)
		pause();
}
C
# /dev/console, which the kernel opens for its init, comes with the kernel's own built-in initramfs.
(cd "$work/root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/initramfs.cpio"
mkfifo "$work/serial"

begun=$(date +%s%N)
qemu-system-x86_64 -M pc -accel "$accel" -m 256 -nodefaults -display none -no-reboot -serial stdio \
	-kernel "$guest/vmlinux" -initrd "$work/initramfs.cpio" -append "console=ttyS0 quiet panic=-1" \
	>"$work/serial" 2>"$work/errors" </dev/null &
qemu=$!
while IFS= read -r -t $limit line; do
	case $line in *"bare init"*)
		echo $((($(date +%s%N) - begun) / 1000000))
		exit 0
		;;
	esac
done <"$work/serial"
echo "bare_boot.sh: the kernel did not reach its init within $limit s" >&2
cat "$work/errors" >&2
exit 1
