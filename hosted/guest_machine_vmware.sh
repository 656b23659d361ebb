# SPDX-License-Identifier: MIT
#
# QEMU that Linux takes for VMware. Read by guest_init.sh.

console=/dev/ttyS1
hint=vmw

prepare_machine() {
	mount -t debugfs debugfs /sys/kernel/debug
}

# driver=absent: it is not loaded. Where its code lies is for the host's debugger, which finds the
# driver's calls there; the sections of a module are for root only.
find_driver() {
	sections=/sys/module/vmw_balloon/sections
	answer="driver=absent"
	[ -r $sections/.text ] || { driver=absent; return; }
	driver=bound
	# Not with "read": the kernel gives an address away in one piece or not at all.
	text=$(cat $sections/.text)
	read -r bytes </sys/module/vmw_balloon/coresize
	answer="driver=bound text=$text text_bytes=$bytes"
}
