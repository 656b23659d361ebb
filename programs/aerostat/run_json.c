/* SPDX-License-Identifier: MIT */
#include "run_names.h"

#include <stdio.h>

/* A number, or null where it was not measured. */
static json_t *number_if(bool is_measured, uint64_t number)
{
	return is_measured ? json_integer((json_int_t)number) : json_null();
}

static json_t *real_if(bool is_measured, double number)
{
	return is_measured ? json_real(number) : json_null();
}

static json_t *text_if(const char *text)
{
	return text && text[0] ? json_string(text) : json_null();
}

static json_t *make_features(const struct run_result *result)
{
	json_t *names;
	unsigned int bit;
	char unnamed[16];

	if (!result->guest_kernel[0])
		return json_null();
	names = json_array();
	for (bit = 0; bit < 128; bit++) {
		if (!run_has_feature(&result->features, bit))
			continue;
		snprintf(unnamed, sizeof(unnamed), "bit_%u", bit);
		json_array_append_new(names, json_string(run_feature_str(bit) ? run_feature_str(bit)
									      : unnamed));
	}
	return names;
}

static json_t *make_stats(const struct aero_virtio_balloon_stats *stats)
{
	json_t *named, *unknown;
	unsigned int i;
	char tag[16];

	if (!stats->time_ns)
		return json_null();
	named = json_object();
	unknown = json_object();
	for (i = 0; i < AERO_VIRTIO_BALLOON_STATS; i++)
		if (stats->known >> i & 1)
			json_object_set_new(named, run_stat_str(i),
					    json_integer((json_int_t)stats->value[i]));
	for (i = 0; i < stats->unknown_count; i++) {
		snprintf(tag, sizeof(tag), "%u", (unsigned int)stats->unknown[i].tag);
		json_object_set_new(unknown, tag,
				    json_integer((json_int_t)stats->unknown[i].value));
	}
	json_object_set_new(named, "unknown", unknown);
	return named;
}

static json_t *make_phases(const struct run_result *result)
{
	json_t *phases = json_object();
	unsigned int i;

	for (i = 0; i < RUN_PHASES; i++)
		json_object_set_new(phases, run_phase_str(i),
				    real_if(i <= result->reached, result->phase_begin[i]));
	return phases;
}

static void add_setting(json_t *out, const struct run_result *result)
{
	json_object_set_new(out, "aerostat_version", json_string(AERO_VERSION));
	json_object_set_new(out, "good", json_boolean(run_result_is_good(result)));
	json_object_set_new(out, "failure", text_if(result->failure));
	json_object_set_new(out, "guest_kernel", text_if(result->guest_kernel));
	json_object_set_new(out, "features", make_features(result));
	json_object_set_new(out, "discard_mode", text_if(result->discard_mode));
	json_object_set_new(out, "backing", text_if(result->backing));
	json_object_set_new(out, "memory_bytes", number_if(true, result->memory_bytes));
	json_object_set_new(out, "target_bytes", number_if(true, result->target_bytes));
}

static void add_inflate(json_t *out, const struct run_result *result)
{
	const struct run_way *way = &result->inflate;
	bool is_done = way->seconds > 0;

	json_object_set_new(out, "actual_bytes", number_if(is_done, result->actual_bytes));
	json_object_set_new(out, "ledger_bytes", number_if(is_done, result->ledger_bytes));
	json_object_set_new(out, "inflate_seconds", real_if(is_done, way->seconds));
	json_object_set_new(out, "inflate_bytes_per_second",
			    real_if(is_done,
				    (double)way->frames * AERO_FRAME_BYTES / way->seconds));
	json_object_set_new(out, "requests", number_if(is_done, way->requests));
	json_object_set_new(out, "frames", number_if(is_done, way->frames));
	json_object_set_new(out, "runs", number_if(is_done, way->runs));
	json_object_set_new(out, "discards", number_if(is_done, way->discards));
	json_object_set_new(out, "discard_asked_bytes",
			    number_if(is_done, way->discard_asked_bytes));
	json_object_set_new(out, "discard_freed_bytes",
			    number_if(is_done, way->discard_freed_bytes));
}

static void add_deflate(json_t *out, const struct run_result *result)
{
	const struct run_way *way = &result->deflate;
	bool is_done = way->seconds > 0;

	json_object_set_new(out, "deflate_seconds", real_if(is_done, way->seconds));
	json_object_set_new(out, "deflate_bytes_per_second",
			    real_if(is_done,
				    (double)way->frames * AERO_FRAME_BYTES / way->seconds));
	json_object_set_new(out, "deflate_requests", number_if(is_done, way->requests));
	json_object_set_new(out, "deflate_frames", number_if(is_done, way->frames));
	json_object_set_new(out, "deflate_discards", number_if(is_done, way->discards));
}

json_t *run_json_make(const struct run_result *result)
{
	json_t *out = json_object();

	if (!out)
		return NULL;
	add_setting(out, result);
	add_inflate(out, result);
	add_deflate(out, result);
	json_object_set_new(out, "guest_stats", make_stats(&result->stats));
	json_object_set_new(out, "phases", make_phases(result));
	return out;
}
