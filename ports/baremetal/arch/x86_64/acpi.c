/* SPDX-License-Identifier: MIT */

/*
 * The three things that this kernel wants of ACPI: where lines of interrupts go (MADT), how to turn
 * the machine off and how to reset it (FADT). Source: ACPI 6.5, chapter 5.
 *
 * Tables are checked for their length and sum; what is not there leaves the default.
 */

#include "x86.h"

#include <stddef.h>

#define TABLE_HEADER 36u
#define TABLE_MAX (1u << 20)
#define TABLES_MAX 64u

#define FADT_CONTROL_PORT 64
#define FADT_RESET_REGISTER 116
#define FADT_RESET_VALUE 128
#define FADT_SLEEP_REGISTER 244
#define ADDRESS_IS_MEMORY 0
#define ADDRESS_IS_PORT 1

#define MADT_ENTRIES 44
#define MADT_IOAPIC 1

#define BIOS_BEGIN 0xe0000u
#define BIOS_END 0x100000u

struct acpi acpi = {
	.ioapic = { { 0xfec00000u, 0 } },
	.ioapic_count = 1,
};

void *memcpy(void *restrict dst, const void *restrict src, size_t len);
int memcmp(const void *a, const void *b, size_t len);

/* Tables lie at any address. */
static uint64_t get(const uint8_t *at, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static bool is_sum_zero(const uint8_t *at, uint32_t len)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + at[i]);
	return sum == 0;
}

/* A whole table, or NULL. */
static const uint8_t *table_at(uint64_t address, uint32_t *out_len)
{
	const uint8_t *table = (const uint8_t *)(uintptr_t)address;

	if (!table)
		return NULL;
	*out_len = (uint32_t)get(table + 4, 4);
	if (*out_len < TABLE_HEADER || *out_len > TABLE_MAX || !is_sum_zero(table, *out_len))
		return NULL;
	return table;
}

static void read_madt(const uint8_t *table, uint32_t len)
{
	unsigned int count = 0;

	for (uint32_t at = MADT_ENTRIES; at + 2 <= len && at + table[at + 1] <= len;) {
		if (table[at] == MADT_IOAPIC && table[at + 1] >= 12 && count < ACPI_IOAPICS_MAX)
			acpi.ioapic[count++] = (struct acpi_ioapic){
				(uint32_t)get(table + at + 4, 4),
				(uint32_t)get(table + at + 8, 4),
			};
		if (table[at + 1] < 2)
			break;
		at += table[at + 1];
	}
	if (count)
		acpi.ioapic_count = count;
}

static void read_fadt(const uint8_t *table, uint32_t len)
{
	if (len >= FADT_CONTROL_PORT + 4)
		acpi.control_port = (uint16_t)get(table + FADT_CONTROL_PORT, 4);
	if (len > FADT_RESET_VALUE) {
		acpi.is_reset_port = table[FADT_RESET_REGISTER] == ADDRESS_IS_PORT;
		acpi.reset_register = get(table + FADT_RESET_REGISTER + 4, 8);
		acpi.reset_value = table[FADT_RESET_VALUE];
	}
	if (len >= FADT_SLEEP_REGISTER + 12 && table[FADT_SLEEP_REGISTER] == ADDRESS_IS_MEMORY)
		acpi.sleep_register = get(table + FADT_SLEEP_REGISTER + 4, 8);
}

static void read_table(uint64_t address)
{
	uint32_t len;
	const uint8_t *table = table_at(address, &len);

	if (!table)
		return;
	if (memcmp(table, "APIC", 4) == 0)
		read_madt(table, len);
	else if (memcmp(table, "FACP", 4) == 0)
		read_fadt(table, len);
}

static const uint8_t *find_root(uint64_t root)
{
	if (root)
		return (const uint8_t *)(uintptr_t)root;
	for (uintptr_t at = BIOS_BEGIN; at < BIOS_END; at += 16) {
		const uint8_t *here = (const uint8_t *)at;

		if (memcmp(here, "RSD PTR ", 8) == 0 && is_sum_zero(here, 20))
			return here;
	}
	return NULL;
}

void acpi_read(uint64_t root)
{
	const uint8_t *pointer = find_root(root);
	const uint8_t *list;
	unsigned int width;
	uint32_t len;

	if (!pointer || memcmp(pointer, "RSD PTR ", 8) != 0)
		return;
	/* From revision 2 on there is a table of 64-bit addresses. */
	width = pointer[15] >= 2 && get(pointer + 24, 8) ? 8 : 4;
	list = table_at(width == 8 ? get(pointer + 24, 8) : get(pointer + 16, 4), &len);
	if (!list)
		return;
	for (uint32_t i = 0; i < TABLES_MAX && TABLE_HEADER + (i + 1) * width <= len; i++)
		read_table(get(list + TABLE_HEADER + i * width, width));
}
