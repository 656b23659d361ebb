/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_JSON_TEXT_H
#define AEROSTAT_HOSTED_BALLOON_JSON_TEXT_H

/*
 * The words of docs/control.md for the enumerations of a balloon. All are static; "unknown" for a
 * value outside its enumeration.
 */

#include <aerostat/host/virtio_balloon.h>
#include <aerostat/host/virtio_balloon_state.h>

const char *aero_balloon_role_text(enum aero_virtio_balloon_role role);
const char *aero_balloon_stall_text(enum aero_host_stall stall);
const char *aero_balloon_hint_text(enum aero_hint_state state);
const char *aero_discard_mode_text(enum aero_discard_mode mode);

#endif
