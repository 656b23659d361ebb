/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_HOSTED_BALLOON_JSON_H
#define AEROSTAT_HOSTED_BALLOON_JSON_H

/*
 * A virtio-balloon service as JSON: what the control socket answers and `aerostat run --json`
 * writes. The keys are documented in docs/control.md; they are kept.
 *
 * Bytes and counts of 2^63 and more, which only a broken guest reports, become real numbers.
 */

#include "hosted/balloon_json_parts.h"
#include "hosted/balloon_service.h"

/* Of the service's events, by aero_balloon_event_index(); ends with NULL. */
extern const char *const aero_balloon_event_names[];

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
 * aero_balloon_json_stat_key() - The key of a statistic.
 * @tag:  Below AERO_VIRTIO_BALLOON_STATS.
 * @out:  Where to.
 * @size: Of @out; 64 are enough.
 *
 * Shape:   the device's name for it, with its unit where that is bytes: "free_memory_bytes".
 * Owner:   a copy.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
void aero_balloon_json_stat_key(uint16_t tag, char *out, size_t size);

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
 * aero_balloon_event_index() - Which event it is.
 * @event: What the service told.
 *
 * Shape:   an index of aero_balloon_event_names; -1 for one of a kind we do not know.
 * Owner:   nothing changes hands.
 * Errors:  none.
 * Context: any.
 * Source:  docs/control.md.
 */
int aero_balloon_event_index(const struct aero_balloon_service_event *event);

#endif
