/* SPDX-License-Identifier: MIT */
/* Keys and their meaning: docs/run-json.md. They are kept. */
#include <stdio.h>

#include "hosted/balloon_json_parts.h"
#include "run_text.h"

/* A number, or null where it was not measured. */
static void put_number(json_t *out, const char *key, bool is_measured, uint64_t number)
{
	json_object_set_new(out, key, is_measured ? aero_json_number(number) : json_null());
}

static void put_real(json_t *out, const char *key, bool is_measured, double number)
{
	json_object_set_new(out, key, is_measured ? json_real(number) : json_null());
}

/* A text, or null where there is none. */
static void put_text(json_t *out, const char *key, const char *text)
{
	char clean[512];

	if (text && text[0])
		json_object_set_new(out, key,
				    json_string(run_text_clean(text, clean, sizeof(clean))));
	else
		json_object_set_new(out, key, json_null());
}

/* What a result owns, or null where it is not known. */
static void put_known(json_t *out, const char *key, json_t *json)
{
	json_object_set_new(out, key, json ? json_incref(json) : json_null());
}

static void put_setting(json_t *out, const struct run_result *result)
{
	json_object_set_new(out, "aerostat_version", json_string(AERO_VERSION));
	json_object_set_new(out, "good", json_boolean(run_result_is_good(result)));
	put_text(out, "failure", result->failure);
	put_text(out, "guest", result->guest);
	put_text(out, "guest_kernel", result->guest_kernel);
	put_known(out, "features", result->features);
	put_known(out, "capabilities", result->capabilities);
	put_text(out, "discard_mode", result->discard_mode);
	put_text(out, "backing", result->backing);
	put_number(out, "memory_bytes", true, result->memory_bytes);
	put_number(out, "target_bytes", true, result->target_bytes);
}

static void put_inflate(json_t *out, const struct run_result *result)
{
	const struct run_way *way = &result->inflate;
	bool is_done = run_way_is_done(way), is_known = is_done && result->has_ledger;

	put_number(out, "actual_bytes", is_done, result->actual_bytes);
	put_number(out, "ledger_bytes", is_known, result->ledger_bytes);
	put_real(out, "inflate_seconds", is_done, way->seconds);
	put_real(out, "inflate_bytes_per_second", is_done, run_way_bytes_per_second(way));
	put_real(out, "inflate_seconds_per_gib", is_done, run_way_seconds_per_gib(way));
	put_number(out, "requests", is_known || (is_done && result->has_requests), way->requests);
	put_number(out, "frames", is_done, way->frames);
	put_number(out, "runs", is_known, way->runs);
	put_number(out, "discards", is_known, way->discards);
	put_number(out, "discard_asked_bytes", is_known, way->discard_asked_bytes);
	put_number(out, "discard_freed_bytes", is_known, way->discard_freed_bytes);
}

static void put_deflate(json_t *out, const struct run_result *result)
{
	const struct run_way *way = &result->deflate;
	bool is_done = run_way_is_done(way), is_known = is_done && result->has_ledger;

	put_real(out, "deflate_seconds", is_done, way->seconds);
	put_real(out, "deflate_bytes_per_second", is_done, run_way_bytes_per_second(way));
	put_real(out, "deflate_seconds_per_gib", is_done, run_way_seconds_per_gib(way));
	put_number(out, "deflate_requests", is_known || (is_done && result->has_requests),
		   way->requests);
	put_number(out, "deflate_frames", is_done, way->frames);
	put_number(out, "deflate_discards", is_known, way->discards);
}

static void put_resident(json_t *out, const struct run_result *result)
{
	bool is_inflated = run_way_is_done(&result->inflate);

	put_number(out, "resident_before_bytes", result->reached >= RUN_INFLATING,
		   result->resident_before_bytes);
	put_number(out, "resident_inflated_bytes", is_inflated, result->resident_inflated_bytes);
	put_number(out, "resident_after_bytes", run_way_is_done(&result->deflate),
		   result->resident_after_bytes);
	put_number(out, "resident_under_balloon_bytes", is_inflated && result->has_ledger,
		   result->resident_under_balloon_bytes);
	put_number(out, "resident_left_bytes", is_inflated && result->is_left_known,
		   result->resident_left_bytes);
}

static void put_guest(json_t *out, const char *when, const struct run_guest_memory *memory)
{
	/* A guest without memory does not answer. */
	bool is_measured = memory->total_bytes > 0;
	char key[48];

	snprintf(key, sizeof(key), "guest_total_%s_bytes", when);
	put_number(out, key, is_measured, memory->total_bytes);
	snprintf(key, sizeof(key), "guest_free_%s_bytes", when);
	put_number(out, key, is_measured, memory->free_bytes);
	snprintf(key, sizeof(key), "guest_available_%s_bytes", when);
	put_number(out, key, is_measured, memory->available_bytes);
}

/* Values by name and unknown ones by tag; what is absent is not there. */
static json_t *make_stats(const json_t *statistics)
{
	json_t *stats, *unknown;

	if (!statistics)
		return json_null();
	stats = json_copy(json_object_get(statistics, "values"));
	unknown = json_object_get(statistics, "unknown");
	json_object_set_new(stats, "unknown", unknown ? json_incref(unknown) : json_object());
	return stats;
}

static json_t *make_phases(const struct run_result *result)
{
	json_t *phases = json_object();
	unsigned int i;

	for (i = 0; i < RUN_PHASES; i++)
		put_real(phases, run_phase_str(i), i <= result->reached, result->phase_begin[i]);
	return phases;
}

static json_t *make_verdict(const struct run_result *result)
{
	/* Nothing was checked unless the balloon was full. */
	if (!run_way_is_done(&result->inflate))
		return json_null();
	return json_pack("{s:b, s:o, s:b, s:o}", "is_target_reported", result->is_target_reported,
			 "is_ledger_agreed",
			 result->has_ledger ? json_boolean(result->is_ledger_agreed) : json_null(),
			 "is_memory_freed", result->is_memory_freed, "is_account_agreed",
			 result->has_account ? json_boolean(result->is_account_agreed)
					     : json_null());
}

json_t *run_json_make(const struct run_result *result)
{
	json_t *out = json_object();

	if (!out)
		return NULL;
	put_setting(out, result);
	put_inflate(out, result);
	put_deflate(out, result);
	put_resident(out, result);
	put_guest(out, "before", &result->guest_before);
	put_guest(out, "inflated", &result->guest_inflated);
	put_guest(out, "after", &result->guest_after);
	json_object_set_new(out, "guest_stats", make_stats(result->statistics));
	json_object_set_new(out, "phases", make_phases(result));
	json_object_set_new(out, "verdict", make_verdict(result));
	put_known(out, "counters", result->counters);
	put_known(out, "host_calls", result->host_calls);
	put_known(out, "guest_account", result->account);
	return out;
}
