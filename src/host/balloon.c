/* SPDX-License-Identifier: MIT */
#include <aerostat/host/balloon.h>

const char *aero_host_stall_str(enum aero_host_stall stall)
{
	switch (stall) {
	case AERO_HOST_STALL_NONE:
		return "at target";
	case AERO_HOST_STALL_WORKING:
		return "moving";
	case AERO_HOST_STALL_NO_DRIVER:
		return "no driver has taken the device";
	case AERO_HOST_STALL_PAUSED:
		return "paused by the host";
	case AERO_HOST_STALL_BROKEN:
		return "the driver broke a queue, the device needs a reset";
	case AERO_HOST_STALL_SILENT:
		return "the guest does not answer";
	case AERO_HOST_STALL_SHORT:
		return "the guest began and comes no nearer: it has no memory to give";
	case AERO_HOST_STALL_SHRINKING:
		return "the guest takes memory back against the target";
	}
	return "unknown stall";
}
