/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_SD_NOTIFY_H
#define AEROSTAT_HOSTED_SD_NOTIFY_H

/* Telling a service manager how we are, without its library. */

#include <aerostat/status.h>

/**
 * aero_sd_notify() - Send one notice to the service manager.
 * @state: Lines such as "READY=1" or "STATUS=...".
 *
 * Shape:   one datagram to the socket that NOTIFY_SOCKET names, in the file system or abstract.
 * Owner:   nothing changes hands.
 * Errors:  AERO_ENOTSUP: no manager asks for notices. AERO_EINVAL: NOTIFY_SOCKET is no address.
 *          AERO_EIO: it could not be sent.
 * Context: any; never blocks.
 * Source:  sd_notify(3), "Notes": the protocol is stable.
 */
enum aero_status aero_sd_notify(const char *state);

#endif
