/* SPDX-License-Identifier: MIT */

/* Checks of alloc() and of the marks on what it answers. */

#include "port/conformance_internal.h"

#define SAMPLE 64

const char *port_check_members(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;

	if (!port->alloc || !port->free || !port->managed_frames)
		return "alloc, free or managed_frames is missing";
	if (!port->page_get || !port->page_put || !port->page_frame)
		return "page_get, page_put or page_frame is missing";
	if (!port->lock != !port->unlock)
		return "lock and unlock come together or not at all";
	if (!port->orders)
		return "no order is offered";
	if (suite->room < PORT_CONFORMANCE_ROOM_MIN)
		return "scratch is too small";
	return NULL;
}

const char *port_check_place(const struct port_conformance *suite)
{
	const char *wrong = NULL;

	for (unsigned int order = 0; order < PORT_ORDERS && !wrong; order++) {
		if (!port_has_order(suite, order) || !port_take(suite, order, 1))
			continue;
		wrong = port_look_at(suite, order, suite->scratch[0]);
		port_give(suite, order, 1);
	}
	return wrong;
}

/* What lies behind the last one asked for must not be written, whatever is answered. */
static const char *ask_for(const struct port_conformance *suite, unsigned int order, size_t asked)
{
	const aero_frame guard = 0x5ca1ab1e;
	size_t count;

	for (size_t i = 0; i <= asked; i++)
		suite->scratch[i] = guard;
	count = suite->port->alloc(suite->port->ctx, order, AERO_EFFORT_SPARE, suite->scratch,
				   asked);
	if (count > asked)
		return "more blocks than asked";
	if (suite->scratch[asked] != guard)
		return "writes behind the blocks asked for";
	port_give(suite, order, count);
	return NULL;
}

const char *port_check_count_asked(const struct port_conformance *suite)
{
	const char *wrong = NULL;

	for (unsigned int order = 0; order < PORT_ORDERS && !wrong; order++) {
		for (size_t asked = 1; asked < SAMPLE && !wrong; asked = 2 * asked + 1) {
			if (port_has_order(suite, order))
				wrong = ask_for(suite, order, asked);
		}
	}
	return wrong;
}

static const char *compare_blocks(const struct port_conformance *suite, unsigned int order,
				  size_t count)
{
	port_sort(suite->scratch, count);
	for (size_t i = 0; i < count; i++) {
		const char *wrong = port_look_at(suite, order, suite->scratch[i]);

		if (wrong)
			return wrong;
		if (i && suite->scratch[i] - suite->scratch[i - 1] < (aero_frame)1 << order)
			return "a frame is answered twice";
	}
	return NULL;
}

const char *port_check_distinct(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;
	const char *wrong = NULL;

	for (unsigned int order = 0; order < PORT_ORDERS && !wrong; order++) {
		size_t count = port_has_order(suite, order) ? port_take(suite, order, SAMPLE) : 0;

		/* In two calls: the second must not answer with the blocks of the first. */
		if (count == SAMPLE)
			count += port->alloc(port->ctx, order, AERO_EFFORT_SPARE,
					     suite->scratch + count, SAMPLE);
		if (count > 2 * SAMPLE)
			return "more blocks than asked";
		wrong = compare_blocks(suite, order, count);
		port_give(suite, order, count);
	}
	return wrong;
}

const char *port_check_orders(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;

	for (unsigned int order = 0; order < PORT_ORDERS; order++) {
		size_t count;

		if (!port_has_order(suite, order) || suite->may_lack >> order & 1)
			continue;
		count = port->alloc(port->ctx, order, AERO_EFFORT_RECLAIM, suite->scratch, 1);
		if (!count)
			return "an order that is offered has no block";
		port_give(suite, order, count);
	}
	return NULL;
}

/* A block in one number, to be sorted by where it begins. */
static uint64_t pack(unsigned int order, aero_frame first)
{
	return first << 8 | order;
}

static unsigned int packed_order(uint64_t packed)
{
	return (unsigned int)(packed & 0xff);
}

static aero_frame packed_first(uint64_t packed)
{
	return packed >> 8;
}

/*
 * Takes blocks of an order until there are no more, or so many; answers how many are held now. The
 * last place of scratch stays free, for ports that write one too many.
 */
static size_t take_packed(const struct port_conformance *suite, unsigned int order, size_t held,
			  size_t end)
{
	const struct aero_port *port = suite->port;

	while (held < end) {
		size_t want = end - held < SAMPLE ? end - held : SAMPLE;
		size_t count = port->alloc(port->ctx, order, AERO_EFFORT_SPARE,
					   suite->scratch + held, want);

		if (!count || count > want)
			break;
		for (; count; count--, held++)
			suite->scratch[held] = pack(order, suite->scratch[held]);
	}
	return held;
}

static void give_packed(const struct port_conformance *suite, size_t held)
{
	while (held) {
		uint64_t packed = suite->scratch[--held];

		suite->scratch[held] = packed_first(packed);
		suite->port->free(suite->port->ctx, packed_order(packed), suite->scratch + held, 1);
	}
}

static const char *look_at_packed(const struct port_conformance *suite, size_t held)
{
	aero_frame end = 0;

	port_sort(suite->scratch, held);
	for (size_t i = 0; i < held; i++) {
		unsigned int order = packed_order(suite->scratch[i]);
		aero_frame first = packed_first(suite->scratch[i]);
		const char *wrong = port_look_at(suite, order, first);

		if (wrong)
			return wrong;
		if (first < end)
			return "a frame is answered twice";
		end = first + ((aero_frame)1 << order);
	}
	return NULL;
}

const char *port_check_sizes(const struct port_conformance *suite)
{
	const char *wrong;
	size_t held = 0;

	/* Small and large in turn, so that they come from the same places. */
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (unsigned int order = 0; order < PORT_ORDERS; order++) {
			if (port_has_order(suite, order) && held + 8 < suite->room)
				held = take_packed(suite, order, held, held + 8);
		}
	}
	wrong = look_at_packed(suite, held);
	if (!wrong)
		give_packed(suite, held);
	return wrong;
}

/* Everything there is, large blocks first, as much as scratch can hold. */
static size_t take_all(const struct port_conformance *suite)
{
	size_t held = 0;

	for (unsigned int order = PORT_ORDERS; order--;) {
		if (port_has_order(suite, order))
			held = take_packed(suite, order, held, suite->room - 1);
	}
	return held;
}

const char *port_check_spare(const struct port_conformance *suite)
{
	uint64_t before;
	size_t held;

	if (!suite->sleeps)
		return port_conformance_skipped;
	before = suite->sleeps(suite->ctx);
	held = take_all(suite);
	give_packed(suite, held);
	return suite->sleeps(suite->ctx) == before ? NULL : "it slept";
}

static uint64_t frames_of(const struct port_conformance *suite, size_t held)
{
	uint64_t frames = 0;

	for (size_t i = 0; i < held; i++)
		frames += (uint64_t)1 << packed_order(suite->scratch[i]);
	return frames;
}

const char *port_check_exhaustion(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;
	uint64_t managed = port->managed_frames(port->ctx);
	size_t held = take_all(suite);
	const char *wrong = look_at_packed(suite, held);
	uint64_t frames = frames_of(suite, held);

	if (wrong)
		return wrong;
	give_packed(suite, held);
	if (!frames)
		return "there is nothing to take";
	if (frames > managed)
		return "more frames than are managed";
	held = take_all(suite);
	wrong = look_at_packed(suite, held);
	/* An eighth less may have been taken by others. */
	if (!wrong && frames_of(suite, held) < frames - frames / 8)
		wrong = "what was given back cannot be taken again";
	if (!wrong)
		give_packed(suite, held);
	return wrong;
}
