# SPDX-License-Identifier: MIT
#
# What machines with a virtio-balloon device have in common, behind one of guest_machine_*.sh.

hint=virtio

prepare_machine() {
	:
}

# driver=absent: no balloon device; unbound: a device without driver; bound: all is well.
find_driver() {
	driver=absent
	features=
	for device in /sys/bus/virtio/devices/*; do
		[ -r "$device/device" ] && read -r id <"$device/device" || continue
		[ "$id" = 0x0005 ] || continue
		driver=unbound
		read -r features <"$device/features"
		[ -e "$device/driver" ] && driver=bound
	done
	answer="driver=$driver${features:+ features=$features}"
}
