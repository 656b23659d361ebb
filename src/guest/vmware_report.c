/* SPDX-License-Identifier: MIT */
/* VMware's driver about itself: counters, and the text that Linux prints. */
#include <aerostat/vmware.h>

#include "vmware_internal.h"

#define LABEL_WIDTH 22
#define PAGE_LABEL_WIDTH 18
#define VALUE_WIDTH 16

/* Text that is cut off at the end of the buffer and measured beyond. */
struct text {
	char *buf;
	size_t room;
	size_t len;
};

static void put_char(struct text *text, char c)
{
	if (text->len < text->room)
		text->buf[text->len] = c;
	text->len++;
}

static void put_string(struct text *text, const char *string)
{
	while (*string)
		put_char(text, *string++);
}

static void put_padded(struct text *text, const char *string, unsigned int width)
{
	size_t end = text->len + width;

	put_string(text, string);
	while (text->len < end)
		put_char(text, ' ');
}

/* Divides by ten without a 64-bit division, which 32-bit processors have no instruction for. */
static uint64_t divide_by_ten(uint64_t value, unsigned int *out_rest)
{
	uint64_t quotient = 0, rest = 0;
	unsigned int bit = 64;

	while (bit--) {
		rest = rest << 1 | (value >> bit & 1);
		if (rest >= 10) {
			rest -= 10;
			quotient |= 1ull << bit;
		}
	}
	*out_rest = (unsigned int)rest;
	return quotient;
}

/* The digits of a number, right-aligned in width. */
static void put_number(struct text *text, uint64_t value, unsigned int width)
{
	char digits[20];
	unsigned int count = 0, rest, i;

	do {
		value = divide_by_ten(value, &rest);
		digits[count++] = (char)('0' + rest);
	} while (value);
	for (i = count; i < width; i++)
		put_char(text, ' ');
	while (count)
		put_char(text, digits[--count]);
}

/* Linux's formatter keeps the prefix also for zero. */
static void put_hex(struct text *text, uint32_t value)
{
	unsigned int digits = 1, i;

	while (digits < 8 && value >> 4 * digits)
		digits++;
	for (i = digits + 2; i < VALUE_WIDTH; i++)
		put_char(text, ' ');
	put_string(text, "0x");
	while (digits--)
		put_char(text, "0123456789abcdef"[value >> 4 * digits & 15]);
}

static void put_label(struct text *text, const char *label)
{
	put_padded(text, label, LABEL_WIDTH);
	put_string(text, ": ");
}

static void put_value(struct text *text, const char *label, uint64_t value)
{
	put_label(text, label);
	put_number(text, value, VALUE_WIDTH);
	put_char(text, '\n');
}

static void put_header(struct text *text, const struct aero_vmware_guest_report *report)
{
	unsigned int i;

	put_label(text, "balloon capabilities");
	put_hex(text, report->known_capabilities);
	put_char(text, '\n');
	put_label(text, "used capabilities");
	put_hex(text, report->used_capabilities);
	put_char(text, '\n');
	put_label(text, "is resetting");
	for (i = 1; i < VALUE_WIDTH; i++)
		put_char(text, ' ');
	put_string(text, report->balloon.is_resetting ? "y\n" : "n\n");
	put_value(text, "target", report->balloon.target_frames);
	put_value(text, "current", report->balloon.actual_frames);
}

static void put_commands(struct text *text, const struct aero_vmware_guest_stats *stats)
{
	uint32_t i;

	for (i = 0; i < AERO_VMWARE_CMD_COUNT; i++) {
		const char *name = aero_vmware_command_name(i);

		if (!name)
			continue;
		put_label(text, name);
		put_number(text, stats->calls[i], VALUE_WIDTH);
		put_string(text, " (");
		put_number(text, stats->failed[i], 0);
		put_string(text, " failed)\n");
	}
}

static void put_sizes(struct text *text, const char *label, const uint64_t *values)
{
	static const char *const names[AERO_VMWARE_GUEST_SIZES] = { "(4k): ", "(2M): " };
	unsigned int i;

	for (i = 0; i < AERO_VMWARE_GUEST_SIZES; i++) {
		put_padded(text, label, PAGE_LABEL_WIDTH);
		put_string(text, names[i]);
		put_number(text, values[i], VALUE_WIDTH);
		put_char(text, '\n');
	}
}

/* Everything since init(). */
static void collect(struct aero_vmware_guest *drv, struct aero_vmware_guest_stats *out)
{
	const struct aero_balloon_counters *counters = &drv->balloon.counters;
	uint32_t rings = aero_count_read(&drv->rings);
	unsigned int i;

	drv->stats.doorbell += rings - drv->rings_seen;
	drv->rings_seen = rings;
	*out = drv->stats;
	out->timer = counters->rounds;
	out->reset = counters->resets;
	out->shrink = counters->reclaims;
	out->shrink_free = counters->reclaimed_frames;
	for (i = 0; i < AERO_VMWARE_GUEST_SIZES; i++) {
		out->alloc[i] = counters->size[i].allocs;
		out->alloc_fail[i] = counters->size[i].alloc_failures;
		out->refused[i] = counters->size[i].refused;
		out->refused_free[i] = counters->size[i].refused_freed;
		out->freed[i] = counters->size[i].freed;
	}
}

void aero_vmware_guest_report(struct aero_vmware_guest *drv,
			      struct aero_vmware_guest_report *out_report)
{
	uint64_t *stats = (uint64_t *)&out_report->stats;
	const uint64_t *base = (const uint64_t *)&drv->base;
	size_t i;

	collect(drv, &out_report->stats);
	if (!drv->are_stats_on)
		drv->base = out_report->stats;
	drv->are_stats_on = true;
	for (i = 0; i < sizeof(drv->base) / sizeof(*base); i++)
		stats[i] -= base[i];
	aero_balloon_report(&drv->balloon, &out_report->balloon);
	out_report->balloon.metadata_bytes += drv->page ? AERO_FRAME_BYTES : 0;
	out_report->known_capabilities = drv->known_capabilities;
	out_report->used_capabilities = drv->capabilities;
	out_report->has_doorbell = drv->has_doorbell;
	out_report->is_batched = drv->capabilities & AERO_VMWARE_CAP_BATCHED;
	out_report->is_downgraded = drv->is_downgraded;
}

size_t aero_vmware_guest_report_text(struct aero_vmware_guest *drv, char *buf, size_t len)
{
	struct text text = { buf, len ? len - 1 : 0, 0 };
	struct aero_vmware_guest_report report;

	aero_vmware_guest_report(drv, &report);
	put_header(&text, &report);
	put_commands(&text, &report.stats);
	put_value(&text, "timer", report.stats.timer);
	put_value(&text, "doorbell", report.stats.doorbell);
	put_value(&text, "reset", report.stats.reset);
	put_value(&text, "shrink", report.stats.shrink);
	put_value(&text, "shrinkFree", report.stats.shrink_free);
	put_sizes(&text, "alloc", report.stats.alloc);
	put_sizes(&text, "allocFail", report.stats.alloc_fail);
	put_sizes(&text, "errAlloc", report.stats.refused);
	put_sizes(&text, "errFree", report.stats.refused_free);
	put_sizes(&text, "free", report.stats.freed);
	if (len)
		buf[text.len < text.room ? text.len : text.room] = '\0';
	return text.len;
}
