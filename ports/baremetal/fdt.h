/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_FDT_H
#define AEROSTAT_PORTS_BAREMETAL_FDT_H

/*
 * Reads a flattened device tree. Nothing of it is believed: lengths and offsets are checked against
 * the blob, so that a damaged tree ends a walk and reads as properties that are not there.
 * Source: Devicetree Specification 0.4, chapter 5.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDT_DEPTH_MAX 12
#define FDT_BYTES_MAX (2u << 20)

struct fdt {
	const uint8_t *blob;
	uint32_t bytes;
	uint32_t structure;
	uint32_t structure_bytes;
	uint32_t strings;
	uint32_t strings_bytes;
	uint32_t reservations;
};

/* A walk over all nodes, parents first. Start with all zero. */
struct fdt_node {
	uint32_t at; /* of its begin, 0: the walk has not begun */
	uint32_t next;
	unsigned int depth; /* 1: the root */
	const char *name;
	/* Cells of addresses and sizes of the children of each depth. */
	uint32_t address_cells[FDT_DEPTH_MAX + 1];
	uint32_t size_cells[FDT_DEPTH_MAX + 1];
};

struct fdt_property {
	const uint8_t *value;
	uint32_t bytes;
};

/* false: there is no tree there. */
bool fdt_open(struct fdt *fdt, const void *blob);

bool fdt_next(const struct fdt *fdt, struct fdt_node *node);

/* false: the node has none of that name. */
bool fdt_get(const struct fdt *fdt, const struct fdt_node *node, const char *name,
	     struct fdt_property *out_property);

/* Whether "compatible" has the word. */
bool fdt_is(const struct fdt *fdt, const struct fdt_node *node, const char *compatible);

/* The first node that is, or that has this phandle. */
bool fdt_find(const struct fdt *fdt, const char *compatible, struct fdt_node *out_node);
bool fdt_find_handle(const struct fdt *fdt, uint32_t handle, struct fdt_node *out_node);

/* A number of one or two cells somewhere in a property; 0 beyond its end. */
uint64_t fdt_cells(const struct fdt_property *property, uint32_t cell, uint32_t count);

/* A property of one cell. */
uint32_t fdt_number(const struct fdt *fdt, const struct fdt_node *node, const char *name,
		    uint32_t fallback);

/* The nth address and size of "reg". */
bool fdt_reg(const struct fdt *fdt, const struct fdt_node *node, uint32_t index,
	     uint64_t *out_address, uint64_t *out_bytes);

/* The nth range that is not to be used; false: there are no more. */
bool fdt_reservation(const struct fdt *fdt, uint32_t index, uint64_t *out_address,
		     uint64_t *out_bytes);

#endif
