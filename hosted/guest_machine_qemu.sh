# SPDX-License-Identifier: MIT
#
# QEMU with its own virtio-balloon device. Read by guest_init.sh, with guest_virtio.sh behind it.

console=/dev/ttyS1
