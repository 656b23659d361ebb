#!/bin/busybox sh
# SPDX-License-Identifier: MIT
#
# Process 1 of a test guest. Prints "AEROSTAT ready key=value ..." on its console and then obeys
# one command a line, "NUMBER COMMAND [ARGUMENT]". Every command is answered by exactly one line,
# "AEROSTAT ok NUMBER [key=value ...]" or "AEROSTAT error NUMBER TEXT". See guest_console.h.
#
# What depends on the machine is in /machine, one of guest_machine_*.sh: its $console, what lines
# about its balloon have in common in the kernel's log ($hint), prepare_machine(), find_driver().
#
# A process costs 10 ms in User Mode Linux and each byte that "read" takes from a file 0.1 ms, so
# short files are read by the shell and long ones by a program. Functions leave their result in
# $answer instead of printing it, which would take a process again.

PATH=/bin
KEEP_FREE=$((12 * 1024 * 1024))
CHUNK=$((4 * 1024 * 1024))
newline='
'

prepare() {
	/bin/busybox --install -s /bin
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t tmpfs -o size=100% tmpfs /mnt
	# Memory is to run out in use, not when it is asked for.
	echo 1 >/proc/sys/vm/overcommit_memory
	exec <$console >$console 2>&1
	stty raw -echo
	prepare_machine
	# Random content: no page is zero, and no two pages of a chunk are the same.
	dd if=/dev/urandom of=/p bs=1M count=4 2>/dev/null
	insert_modules
}

insert_modules() {
	while read -r name; do
		grep -q "^$name " /proc/modules || insmod "/modules/$name.ko" || return 1
	done </modules/order
}

remove_modules() {
	reversed=
	while read -r name; do
		reversed="$name $reversed"
	done </modules/order
	for name in $reversed; do
		rmmod "$name" || return 1
	done
}

find_memory() {
	while read -r key value unit; do
		case $key in
		MemTotal:) total=$((value * 1024)) ;;
		MemFree:) free=$((value * 1024)) ;;
		MemAvailable:)
			available=$((value * 1024))
			break
			;;
		esac
	done </proc/meminfo
	answer="total=$total free=$free available=$available"
}

# list_chunks COUNT: leaves "/p /p /p ..." in $chunks.
list_chunks() {
	chunks=
	run=/p
	left=$1
	while [ "$left" -gt 0 ]; do
		[ $((left % 2)) = 1 ] && chunks="$chunks $run"
		run="$run $run"
		left=$((left / 2))
	done
}

has_room() {
	case $1 in
	'' | *[!0-9]*)
		answer="not a number of bytes: '$1'"
		return 1
		;;
	esac
	find_memory
	[ $(($1 + KEEP_FREE)) -le "$available" ] && return
	answer="refused: $1 bytes do not fit into the $available bytes available"
	return 1
}

# Fills BYTES of memory with what the host cannot know and must keep.
do_dirty() {
	has_room "$1" || return 1
	list_chunks $(($1 / CHUNK))
	tail=$(($1 % CHUNK))
	if [ -n "$chunks" ]; then
		cat $chunks >>/mnt/dirty || { answer="writing failed"; return 1; }
	fi
	if [ "$tail" -gt 0 ]; then
		head -c "$tail" /p >>/mnt/dirty || { answer="writing failed"; return 1; }
	fi
	find_memory
}

do_free() {
	rm -f /mnt/dirty
	find_memory
}

do_memory() {
	find_memory
}

do_driver() {
	find_driver
}

# Keeps BYTES of distinct random content, to be compared by check.
do_sum() {
	has_room "$1" || return 1
	rm -f /mnt/keep
	dd if=/dev/urandom of=/mnt/keep bs=1M iflag=fullblock,count_bytes count="$1" 2>/dev/null ||
		{ answer="writing failed"; return 1; }
	kept=$(md5sum </mnt/keep)
	answer="md5=${kept%% *}"
}

do_check() {
	now=$(md5sum </mnt/keep)
	answer="memory was lost: md5 was ${kept%% *}, is ${now%% *}"
	[ -n "$kept" ] && [ "$now" = "$kept" ] || return 1
	answer="md5=${kept%% *}"
}

do_drop() {
	rm -f /mnt/keep
	kept=
}

# One process asks for BYTES at once and touches them all; the kernel may kill it for that.
do_pressure() {
	dd if=/dev/zero of=/dev/null bs="$1" count=1 2>/dev/null
	answer="exit=$?"
}

# join TEXT BETWEEN: TEXT with BETWEEN for each newline.
join() {
	answer=${1//"$newline"/$2}
}

do_vmstat() {
	join "$(grep "^$1" /proc/vmstat | tr ' ' =)" ' '
}

do_read() {
	[ -r "$1" ] || { answer="cannot read $1"; return 1; }
	join "$(cat "$1")" '|'
}

# Any shell command; the lines of its output are joined by '|'.
do_sh() {
	output=$(eval "$1" 2>&1)
	code=$?
	join "$output" '|'
	answer="exit=$code output=$answer"
}

do_unload() {
	remove_modules || { answer="a module cannot be removed"; return 1; }
	find_driver
}

do_load() {
	insert_modules || { answer="a module cannot be loaded"; return 1; }
	find_driver
}

# The machine goes down at once, so the answer is printed first.
do_reboot() {
	echo "AEROSTAT ok $number"
	reboot -f
}

do_poweroff() {
	echo "AEROSTAT ok $number"
	poweroff -f
}

obey() {
	answer=
	case $command in
	dirty | free | memory | driver | sum | check | drop | pressure | vmstat | read | sh | \
		unload | load | reboot | poweroff)
		"do_$command" "$argument"
		;;
	*)
		answer="unknown command '$command'"
		false
		;;
	esac
	if [ $? = 0 ]; then
		echo "AEROSTAT ok $number $answer"
	else
		echo "AEROSTAT error $number $answer"
	fi
}

. /machine
prepare
find_driver
ready=$answer
# What the kernel said about the device is the host's best hint where there is no driver on it.
[ "$driver" = bound ] || dmesg | grep -i "$hint"
find_memory
read -r release </proc/sys/kernel/osrelease
echo "AEROSTAT ready kernel=$release $ready $answer"
while read -r number command argument; do
	obey
done
# The host has closed the console: nobody is left to talk to.
poweroff -f
