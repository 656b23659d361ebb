/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_PORT_CONFORMANCE_INTERNAL_H
#define AEROSTAT_TESTS_PORT_CONFORMANCE_INTERNAL_H

#include "port/conformance.h"

#define PORT_ORDERS 32

/* Ascending. */
void port_sort(uint64_t *at, size_t count);

/* Blocks into scratch, never more than count, and back from there. */
size_t port_take(const struct port_conformance *suite, unsigned int order, size_t count);
void port_give(const struct port_conformance *suite, unsigned int order, size_t count);

/* What is wrong with a block by itself, or NULL. */
const char *port_look_at(const struct port_conformance *suite, unsigned int order,
			 aero_frame first);

/* The order of the kernel's page: the lowest that is offered. */
unsigned int port_page_order(const struct port_conformance *suite);

bool port_has_order(const struct port_conformance *suite, unsigned int order);

/* The checks. */
const char *port_check_members(const struct port_conformance *suite);
const char *port_check_orders(const struct port_conformance *suite);
const char *port_check_place(const struct port_conformance *suite);
const char *port_check_count_asked(const struct port_conformance *suite);
const char *port_check_distinct(const struct port_conformance *suite);
const char *port_check_sizes(const struct port_conformance *suite);
const char *port_check_spare(const struct port_conformance *suite);
const char *port_check_free(const struct port_conformance *suite);
const char *port_check_free_reversed(const struct port_conformance *suite);
const char *port_check_split(const struct port_conformance *suite);
const char *port_check_managed(const struct port_conformance *suite);
const char *port_check_offline(const struct port_conformance *suite);
const char *port_check_exhaustion(const struct port_conformance *suite);
const char *port_check_pages(const struct port_conformance *suite);
const char *port_check_page_bytes(const struct port_conformance *suite);
const char *port_check_page_frames(const struct port_conformance *suite);
const char *port_check_page_put(const struct port_conformance *suite);
const char *port_check_lock(const struct port_conformance *suite);
const char *port_check_log(const struct port_conformance *suite);

#endif
