/* SPDX-License-Identifier: MIT */
#include "run_driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hosted/balloon_json_parts.h"
#include "hosted/guest_console.h"

bool run_driver_take_report(struct run_driver_reading *reading, const char *text,
			    uint64_t host_frames)
{
	uint64_t frames;

	if (aero_guest_number(text, "actual_frames", &frames) != AERO_OK)
		return false;
	*reading = (struct run_driver_reading){
		.is_taken = true,
		.guest_frames = frames,
		.host_frames = host_frames,
	};
	return true;
}

void run_driver_take_time(struct run_driver_reading *reading, const char *text)
{
	if (aero_guest_number(text, "ns", &reading->ns) != AERO_OK)
		reading->ns = 0;
}

json_t *run_driver_counters_json(const struct run_driver_account *account)
{
	const char *at = account->counters;
	json_t *out = json_object();
	char name[64];
	uint64_t number;

	for (at += strspn(at, " "); *at; at += strcspn(at, " "), at += strspn(at, " ")) {
		size_t len = strcspn(at, "= ");

		if (at[len] != '=' || !len || len >= sizeof(name))
			continue;
		memcpy(name, at, len);
		name[len] = '\0';
		if (aero_guest_number(at, name, &number) == AERO_OK)
			aero_json_put_number(out, name, number);
	}
	if (json_object_size(out))
		return out;
	json_decref(out);
	return NULL;
}

/* Comparing ----------------------------------------------------------------------------------- */

static void compare(json_t *out, const char *when, const struct run_driver_reading *reading)
{
	char text[160];

	if (reading->is_taken && reading->guest_frames == reading->host_frames)
		return;
	if (reading->is_taken)
		snprintf(text, sizeof(text),
			 "%s: the guest counts %" PRIu64 " frames, QEMU was told %" PRIu64, when,
			 reading->guest_frames, reading->host_frames);
	else
		snprintf(text, sizeof(text), "%s: the guest's account could not be read", when);
	json_array_append_new(out, json_string(text));
}

static json_t *list_differences(const struct run_driver_account *account)
{
	json_t *out = json_array();

	compare(out, "before", &account->before);
	compare(out, "inflated", &account->inflated);
	compare(out, "after", &account->after);
	return out;
}

bool run_driver_is_agreed(const struct run_driver_account *account)
{
	json_t *differences = list_differences(account);
	bool is_agreed = !json_array_size(differences);

	json_decref(differences);
	return is_agreed;
}

/* JSON ---------------------------------------------------------------------------------------- */

static json_t *describe_frames(const struct run_driver_reading *reading)
{
	return reading->is_taken ? aero_json_number(reading->guest_frames) : json_null();
}

static json_t *describe_time(const struct run_driver_reading *reading)
{
	return reading->ns ? json_real((double)reading->ns / 1e9) : json_null();
}

/* A counter a line, for people. */
static void put_text(json_t *out, const struct run_driver_account *account)
{
	json_t *counters = run_driver_counters_json(account), *value;
	char text[sizeof(account->counters) + 1024] = "";
	const char *name;
	size_t used = 0;

	json_object_foreach(counters, name, value)
	{
		if (used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%-20s %.0f\n",
						 name, json_number_value(value));
	}
	aero_json_put_text(out, "text", text);
	json_decref(counters);
}

json_t *run_driver_account_json(const struct run_driver_account *account)
{
	json_t *out;

	if (!account->before.is_taken)
		return NULL;
	out = json_object();
	aero_json_put_text(out, "source", "counters");
	json_object_set_new(out, "frames_inflated", describe_frames(&account->inflated));
	json_object_set_new(out, "frames_after", describe_frames(&account->after));
	json_object_set_new(out, "inflate_seconds", describe_time(&account->inflated));
	json_object_set_new(out, "deflate_seconds", describe_time(&account->after));
	json_object_set_new(out, "commands", json_null());
	json_object_set_new(out, "differences", list_differences(account));
	put_text(out, account);
	return out;
}
