/* SPDX-License-Identifier: MIT */
#include "fdt.h"
#include "text.h"

#define MAGIC 0xd00dfeedu
#define VERSION_OLDEST 17u

#define HEADER_BYTES 40u
#define RESERVATION_BYTES 16u
#define RESERVATIONS_MAX 64u

#define BEGIN_NODE 1u
#define END_NODE 2u
#define PROPERTY 3u
#define NOP 4u
#define END 9u

static uint32_t cell_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_inside(const struct fdt *fdt, uint32_t offset, uint32_t bytes)
{
	return offset <= fdt->bytes && bytes <= fdt->bytes - offset;
}

bool fdt_open(struct fdt *fdt, const void *blob)
{
	const uint8_t *at = blob;

	if (!at || (uintptr_t)at % 8 || cell_at(at) != MAGIC)
		return false;
	fdt->blob = at;
	fdt->bytes = cell_at(at + 4);
	fdt->structure = cell_at(at + 8);
	fdt->strings = cell_at(at + 12);
	fdt->reservations = cell_at(at + 16);
	fdt->strings_bytes = cell_at(at + 32);
	fdt->structure_bytes = cell_at(at + 36);
	return cell_at(at + 20) >= VERSION_OLDEST && fdt->bytes >= HEADER_BYTES &&
	       fdt->bytes <= FDT_BYTES_MAX && fdt->structure % 4 == 0 &&
	       is_inside(fdt, fdt->structure, fdt->structure_bytes) &&
	       is_inside(fdt, fdt->strings, fdt->strings_bytes) &&
	       is_inside(fdt, fdt->reservations, 0);
}

/* Offsets below are in the structure. 0 where it has ended. */
static uint32_t token_at(const struct fdt *fdt, uint32_t at)
{
	if (at > fdt->structure_bytes || fdt->structure_bytes - at < 4)
		return END;
	return cell_at(fdt->blob + fdt->structure + at);
}

/* A terminated text, or NULL. */
static const char *text_at(const struct fdt *fdt, uint32_t offset, uint32_t end)
{
	for (uint32_t at = offset; at < end; at++) {
		if (!fdt->blob[at])
			return (const char *)fdt->blob + offset;
	}
	return NULL;
}

/* Reads the property at an offset; answers what is behind it, 0 where it is damaged. */
static uint32_t read_property(const struct fdt *fdt, uint32_t at, const char **out_name,
			      struct fdt_property *out)
{
	uint32_t left = fdt->structure_bytes - at;
	uint32_t name;

	if (left < 12)
		return 0;
	out->bytes = cell_at(fdt->blob + fdt->structure + at + 4);
	out->value = fdt->blob + fdt->structure + at + 12;
	name = cell_at(fdt->blob + fdt->structure + at + 8);
	if (out->bytes > left - 12 || name >= fdt->strings_bytes)
		return 0;
	*out_name = text_at(fdt, fdt->strings + name, fdt->strings + fdt->strings_bytes);
	return *out_name ? at + 12 + ((out->bytes + 3) & ~3u) : 0;
}

/* Behind the name of a node; 0 where it is damaged. */
static uint32_t skip_name(const struct fdt *fdt, uint32_t at)
{
	const char *name =
		text_at(fdt, fdt->structure + at + 4, fdt->structure + fdt->structure_bytes);

	return name ? at + 4 + (((uint32_t)text_len(name) + 4) & ~3u) : 0;
}

bool fdt_get(const struct fdt *fdt, const struct fdt_node *node, const char *name,
	     struct fdt_property *out_property)
{
	uint32_t at = skip_name(fdt, node->at);

	while (at) {
		uint32_t token = token_at(fdt, at);
		const char *here;

		if (token == NOP) {
			at += 4;
			continue;
		}
		if (token != PROPERTY)
			break;
		at = read_property(fdt, at, &here, out_property);
		if (at && text_is_equal(here, name))
			return true;
	}
	return false;
}

/* A node begins: what its children count in. */
static bool enter(const struct fdt *fdt, struct fdt_node *node, uint32_t at)
{
	if (node->depth == FDT_DEPTH_MAX)
		return false;
	node->at = at;
	node->next = skip_name(fdt, at);
	if (!node->next)
		return false;
	node->name = (const char *)fdt->blob + fdt->structure + at + 4;
	node->depth++;
	node->address_cells[node->depth] = fdt_number(fdt, node, "#address-cells", 2);
	node->size_cells[node->depth] = fdt_number(fdt, node, "#size-cells", 1);
	return true;
}

bool fdt_next(const struct fdt *fdt, struct fdt_node *node)
{
	uint32_t at = node->next;
	struct fdt_property property;
	const char *name;

	for (;;) {
		switch (token_at(fdt, at)) {
		case BEGIN_NODE:
			return enter(fdt, node, at);
		case END_NODE:
			if (node->depth == 0)
				return false;
			node->depth--;
			at += 4;
			break;
		case PROPERTY:
			at = read_property(fdt, at, &name, &property);
			if (!at)
				return false;
			break;
		case NOP:
			at += 4;
			break;
		default:
			return false;
		}
	}
}

bool fdt_is(const struct fdt *fdt, const struct fdt_node *node, const char *compatible)
{
	struct fdt_property list;
	uint32_t begin = 0;

	if (!fdt_get(fdt, node, "compatible", &list))
		return false;
	for (uint32_t i = 0; i < list.bytes; i++) {
		if (list.value[i])
			continue;
		if (text_is_equal((const char *)list.value + begin, compatible))
			return true;
		begin = i + 1;
	}
	return false;
}

bool fdt_find(const struct fdt *fdt, const char *compatible, struct fdt_node *out_node)
{
	*out_node = (struct fdt_node){ 0 };
	while (fdt_next(fdt, out_node)) {
		if (fdt_is(fdt, out_node, compatible))
			return true;
	}
	return false;
}

bool fdt_find_handle(const struct fdt *fdt, uint32_t handle, struct fdt_node *out_node)
{
	*out_node = (struct fdt_node){ 0 };
	while (fdt_next(fdt, out_node)) {
		if (fdt_number(fdt, out_node, "phandle", 0) == handle)
			return handle != 0;
	}
	return false;
}

uint64_t fdt_cells(const struct fdt_property *property, uint32_t cell, uint32_t count)
{
	uint64_t number = 0;

	for (; count; count--, cell++) {
		if (cell >= property->bytes / 4)
			return 0;
		number = number << 32 | cell_at(property->value + 4 * cell);
	}
	return number;
}

uint32_t fdt_number(const struct fdt *fdt, const struct fdt_node *node, const char *name,
		    uint32_t fallback)
{
	struct fdt_property property;

	if (!fdt_get(fdt, node, name, &property) || property.bytes != 4)
		return fallback;
	return (uint32_t)fdt_cells(&property, 0, 1);
}

bool fdt_reg(const struct fdt *fdt, const struct fdt_node *node, uint32_t index,
	     uint64_t *out_address, uint64_t *out_bytes)
{
	uint32_t address_cells = node->depth ? node->address_cells[node->depth - 1] : 0;
	uint32_t size_cells = node->depth ? node->size_cells[node->depth - 1] : 0;
	uint32_t cells = address_cells + size_cells;
	struct fdt_property reg;

	if (address_cells == 0 || address_cells > 2 || size_cells > 2 || index > 255)
		return false;
	if (!fdt_get(fdt, node, "reg", &reg) || reg.bytes / 4 / cells <= index)
		return false;
	*out_address = fdt_cells(&reg, index * cells, address_cells);
	*out_bytes = fdt_cells(&reg, index * cells + address_cells, size_cells);
	return true;
}

bool fdt_reservation(const struct fdt *fdt, uint32_t index, uint64_t *out_address,
		     uint64_t *out_bytes)
{
	struct fdt_property list;

	if (index >= RESERVATIONS_MAX ||
	    !is_inside(fdt, fdt->reservations, (index + 1) * RESERVATION_BYTES))
		return false;
	list.value = fdt->blob + fdt->reservations;
	list.bytes = (index + 1) * RESERVATION_BYTES;
	*out_address = fdt_cells(&list, index * 4, 2);
	*out_bytes = fdt_cells(&list, index * 4 + 2, 2);
	return *out_address || *out_bytes;
}
