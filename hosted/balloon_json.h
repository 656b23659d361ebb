/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_JSON_H
#define AEROSTAT_HOSTED_BALLOON_JSON_H

/*
 * A balloon service as JSON: what the control socket answers and `aerostat run --json` writes. The
 * keys are documented in docs/control.md; they are kept.
 *
 * Bytes and counts of 2^63 and more, which only a broken guest reports, become real numbers.
 */

#include <jansson.h>

#include "hosted/balloon_service.h"

/**
 * aero_balloon_json_status() - How the balloon is.
 * @service: Started.
 *
 * Shape:   an object: amounts, states, features, queues; without counters and statistics.
 * Owner:   a new reference. Without memory it is NULL, or members are missing.
 * Errors:  none.
 * Context: sleep; the loop's thread. Calls into the device only to read: allowed in its events.
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_status(const struct aero_balloon_service *service);

/**
 * aero_balloon_json_counters() - Everything that is counted.
 * @service: Started.
 *
 * Shape:   an object of the objects device, ledger and memory, each name to number.
 * Owner:   as of status().
 * Errors:  none.
 * Context: as of status().
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_counters(const struct aero_balloon_service *service);

/**
 * aero_balloon_json_statistics() - The guest's statistics that came last.
 * @service: Started.
 *
 * Shape:   an object: values by name, unknown tags by number, and for each number that is missing
 *          why; when they came.
 * Owner:   as of status().
 * Errors:  none.
 * Context: as of status().
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_statistics(const struct aero_balloon_service *service);

/**
 * aero_balloon_json_features() - The features that the driver accepted.
 * @service: Started.
 *
 * Shape:   as of feature_list().
 * Owner:   as of status().
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_features(const struct aero_balloon_service *service);

/**
 * aero_balloon_json_feature_list() - Any set of features.
 * @features: The set.
 *
 * Shape:   an array of objects {"bit": number, "name": text}; the name is null where it has none.
 * Owner:   as of status().
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_feature_list(const struct aero_virtio_features *features);

/**
 * aero_balloon_json_inhibits() - Reasons not to discard.
 * @reasons: Bits of enum aero_inhibit.
 *
 * Shape:   an array of names.
 * Owner:   as of status().
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_inhibits(uint32_t reasons);

/**
 * aero_balloon_json_event() - An event of the service.
 * @service: Started.
 * @event:   What it told.
 *
 * Shape:   an object whose "event" is the kind's name; the rest depends on it.
 * Owner:   as of status().
 * Errors:  none.
 * Context: as of status(); within the event.
 * Source:  docs/control.md.
 */
json_t *aero_balloon_json_event(const struct aero_balloon_service *service,
				const struct aero_balloon_service_event *event);

/**
 * aero_balloon_event_name() - The name of an event.
 * @event: What the service told.
 *
 * Shape:   such as "reached"; NULL for one of a kind we do not know.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
const char *aero_balloon_event_name(const struct aero_balloon_service_event *event);

/**
 * aero_balloon_event_index() - The number of an event's name.
 * @name: Any text.
 *
 * Shape:   0 to AERO_BALLOON_EVENT_NAMES - 1, for sets of events; -1 where there is none such.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
int aero_balloon_event_index(const char *name);

#define AERO_BALLOON_EVENT_NAMES 12

/**
 * aero_inhibit_name() - The name of a reason not to discard.
 * @bit: Number of the bit in enum aero_inhibit, from 0.
 *
 * Shape:   such as "snapshot"; NULL for others than 0 to 3.
 * Owner:   static storage.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
const char *aero_inhibit_name(unsigned int bit);

/**
 * aero_json_number() - A counter as JSON.
 * @number: Any number.
 *
 * Shape:   an integer below 2^63, else the nearest real number.
 * Owner:   a new reference. Without memory it is NULL, or members are missing.
 * Errors:  none.
 * Context: any.
 * Source:  Jansson's integers are signed.
 */
json_t *aero_json_number(uint64_t number);

#endif
