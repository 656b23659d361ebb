# SPDX-License-Identifier: MIT
#
# QEMU with its own virtio-balloon device. Read by guest_init.sh; guest_virtio.sh is behind it.

console=/dev/ttyS1
