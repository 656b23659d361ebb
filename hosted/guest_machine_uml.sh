# SPDX-License-Identifier: MIT
#
# User Mode Linux with a virtio-balloon device. Read by guest_init.sh; guest_virtio.sh is behind it.

console=/dev/tty1
