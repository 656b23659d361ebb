/* SPDX-License-Identifier: MIT */

/* Checks of own pages, of the lock and of the log. */

#include "port/conformance_internal.h"

#define PAGES 32
#define WORDS (AERO_FRAME_BYTES / sizeof(uint64_t))

/* Pages taken and given back, one by one, to find a leak. */
#define PAGE_TURNS 65536

struct pages {
	void *page[PAGES];
	size_t count;
};

static void get_pages(const struct port_conformance *suite, struct pages *pages)
{
	pages->count = 0;
	while (pages->count < PAGES) {
		void *page = suite->port->page_get(suite->port->ctx);

		if (!page)
			break;
		pages->page[pages->count++] = page;
	}
}

static void put_pages(const struct port_conformance *suite, struct pages *pages)
{
	while (pages->count)
		suite->port->page_put(suite->port->ctx, pages->page[--pages->count]);
}

const char *port_check_pages(const struct port_conformance *suite)
{
	struct pages pages;

	get_pages(suite, &pages);
	if (!pages.count)
		return "there is no page";
	for (size_t i = 0; i < pages.count; i++) {
		if ((uintptr_t)pages.page[i] % AERO_FRAME_BYTES)
			return "a page is not aligned to 4096";
		for (size_t j = 0; j < i; j++) {
			if (pages.page[i] == pages.page[j])
				return "a page is answered twice";
		}
	}
	put_pages(suite, &pages);
	return NULL;
}

static void write_page(void *page, uint64_t value)
{
	uint64_t *word = page;

	for (size_t i = 0; i < WORDS; i++)
		word[i] = value ^ i;
}

static bool has_written(const void *page, uint64_t value)
{
	const uint64_t *word = page;

	for (size_t i = 0; i < WORDS; i++) {
		if (word[i] != (value ^ i))
			return false;
	}
	return true;
}

const char *port_check_page_bytes(const struct port_conformance *suite)
{
	const char *wrong = NULL;
	struct pages pages;
	size_t count;
	void *other;

	get_pages(suite, &pages);
	for (size_t i = 0; i < pages.count; i++)
		write_page(pages.page[i], 0x0123456789abcdefull * (i + 1));
	/* Others come and go meanwhile. */
	other = suite->port->page_get(suite->port->ctx);
	count = port_take(suite, port_page_order(suite), PAGES);
	port_give(suite, port_page_order(suite), count);
	if (other)
		suite->port->page_put(suite->port->ctx, other);
	for (size_t i = 0; i < pages.count && !wrong; i++) {
		if (!has_written(pages.page[i], 0x0123456789abcdefull * (i + 1)))
			wrong = "a page does not keep what is written";
	}
	put_pages(suite, &pages);
	return wrong;
}

/* Frames of pages are neither those of other pages nor lent. */
static const char *compare_frames(const struct port_conformance *suite, const struct pages *pages)
{
	const struct aero_port *port = suite->port;
	unsigned int order = port_page_order(suite);
	size_t count = port_take(suite, order, PAGES);
	const char *wrong = NULL;

	for (size_t i = 0; i < pages->count && !wrong; i++) {
		aero_frame frame = port->page_frame(port->ctx, pages->page[i]);

		if (frame >= AERO_FRAME_LIMIT)
			wrong = "a page has a frame number beyond all memory";
		else if (frame != port->page_frame(port->ctx, pages->page[i]))
			wrong = "a page has another frame number each time";
		for (size_t j = 0; j < count && !wrong; j++) {
			if (frame >> order == suite->scratch[j] >> order)
				wrong = "a page has the frame number of a block";
		}
		for (size_t j = 0; j < i && !wrong; j++) {
			if (port->page_frame(port->ctx, pages->page[j]) == frame)
				wrong = "two pages have one frame number";
		}
	}
	port_give(suite, port_page_order(suite), count);
	return wrong;
}

const char *port_check_page_frames(const struct port_conformance *suite)
{
	const char *wrong;
	struct pages pages;

	get_pages(suite, &pages);
	wrong = compare_frames(suite, &pages);
	put_pages(suite, &pages);
	return wrong;
}

const char *port_check_page_put(const struct port_conformance *suite)
{
	uint64_t managed = suite->port->managed_frames(suite->port->ctx);

	for (unsigned int i = 0; i < PAGE_TURNS && i <= managed; i++) {
		void *page = suite->port->page_get(suite->port->ctx);

		if (!page)
			return "pages that are put do not come back";
		suite->port->page_put(suite->port->ctx, page);
	}
	return NULL;
}

const char *port_check_lock(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;

	if (!port->lock)
		return port_conformance_skipped;
	for (unsigned int i = 0; i < 3; i++) {
		uintptr_t state = port->lock(port->ctx);

		port->unlock(port->ctx, state);
	}
	return NULL;
}

const char *port_check_log(const struct port_conformance *suite)
{
	const struct aero_port *port = suite->port;
	char text[512];

	if (!port->log)
		return port_conformance_skipped;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = '\0';
	for (unsigned int level = AERO_LOG_ERROR; level <= AERO_LOG_INFO; level++) {
		port->log(port->ctx, (enum aero_log_level)level, "the port's conformance suite");
		port->log(port->ctx, (enum aero_log_level)level, text);
		port->log(port->ctx, (enum aero_log_level)level, "");
		/* A text, not a format. */
		port->log(port->ctx, (enum aero_log_level)level, "100 %s%s%s%n");
	}
	return NULL;
}
