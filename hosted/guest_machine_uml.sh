# SPDX-License-Identifier: MIT
#
# User Mode Linux with a virtio-balloon device. Read by guest_init.sh, with guest_virtio.sh behind it.

console=/dev/tty1
