/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_FEATURE_TEXT_H
#define AEROSTAT_HOSTED_FEATURE_TEXT_H

/* Feature bits of a virtio balloon by name. */

#include <aerostat/host/virtio_balloon_types.h>

#include "hosted/error.h"

/**
 * aero_feature_name() - Name of a feature bit.
 * @bit: Any number.
 *
 * Shape:   the specification's name in lower case, such as "must_tell_host"; NULL for a
 *          bit without a name.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  VIRTIO 1.4, 5.5.3 and 6.
 */
const char *aero_feature_name(unsigned int bit);

/**
 * aero_feature_list_parse() - Which features to offer.
 * @text:         Names or numbers between commas; "-NAME" takes one away, "+NAME" adds one, "none"
 *                and "default" take away and add all.
 * @all:          Those the device has.
 * @out_features: The choice.
 * @error:        What is wrong with the list, with the item; may be NULL.
 *
 * Shape:   begins with all of them where the first item has a sign, and else with those of rings
 *          and transport only (bits 24 and up), so that a list of balloon features gives a device
 *          that drivers take. Upper case, and dashes in a name, are fine.
 * Owner:   nothing changes hands.
 * Errors:  AERO_EINVAL: no such feature. AERO_ENOTSUP: the device does not have it. out_features is
 *          unchanged.
 * Context: any.
 * Source:  docs/aerostat.1.
 */
enum aero_status aero_feature_list_parse(const char *text, const struct aero_virtio_features *all,
					 struct aero_virtio_features *out_features,
					 struct aero_error *error);

#endif
