/* SPDX-License-Identifier: MIT */

/*
 * PCs, and QEMU's microvm: what PVH's start info tells, what the command line adds, how to end.
 * Source: Xen, public/arch-x86/hvm/start_info.h (layout).
 */

#include "arch/arch.h"
#include "console.h"
#include "options.h"
#include "registers.h"
#include "text.h"
#include "x86.h"

#include <stddef.h>

#define START_INFO_MAGIC 0x336ec578u
#define MEMORY_USABLE 1u
#define MAP_ENTRIES_MAX 256u

/* What a PC keeps for itself. */
#define LOW_MEMORY 0x100000ull
/* What boot.S has mapped. */
#define MAPPED (64ull << 30)

#define COM1_PORT 0x3f8
#define COM1_LINE 4

#define SLEEP_ENABLE_PORT 0x2000u   /* PM1a_CNT, with type 0: S5 of QEMU's machines */
#define SLEEP_ENABLE_REGISTER 0x34u /* type 5 */
#define DEBUG_EXIT_PORT 0xf4	    /* isa-debug-exit, where the command line of QEMU has one */

const char arch_name[] = "x86_64";

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules;
	uint64_t command_line;
	uint64_t root;
	/* Version 1 on. */
	uint64_t memory_map;
	uint32_t memory_map_entries;
	uint32_t reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "start_info.h");

struct memory_map_entry {
	uint64_t begin;
	uint64_t bytes;
	uint32_t type;
	uint32_t reserved;
};
_Static_assert(sizeof(struct memory_map_entry) == 24, "start_info.h");

static void read_memory(struct memory_map *map, const struct start_info *info)
{
	const struct memory_map_entry *entry =
		(const struct memory_map_entry *)(uintptr_t)info->memory_map;

	if (info->version < 1 || !entry)
		return;
	for (uint32_t i = 0; i < info->memory_map_entries && i < MAP_ENTRIES_MAX; i++) {
		if (entry[i].type == MEMORY_USABLE)
			memory_map_add(map, entry[i].begin, entry[i].bytes);
	}
	memory_map_remove(map, 0, LOW_MEMORY);
	memory_map_remove(map, MAPPED, UINT64_MAX - MAPPED);
}

/* BYTES@ADDRESS:LINE, as Linux has it; QEMU adds one for each place of a microvm. */
static void add_mmio(void *ctx, const char *value)
{
	struct machine *out = ctx;
	struct mmio_slot slot = { .is_edge = true };
	uint64_t line;

	if (text_read_number(&value, &slot.bytes) && *value++ == '@' &&
	    text_read_number(&value, &slot.base) && *value++ == ':' &&
	    text_read_number(&value, &line)) {
		slot.line = (unsigned int)line;
		machine_add_mmio(out, &slot);
	}
}

void arch_discover(struct machine *out_machine, uintptr_t boot_data)
{
	const struct start_info *info = (const struct start_info *)boot_data;

	out_machine->uart = (struct uart){ &uart_16550, COM1_PORT, 0, true };
	out_machine->uart_line = COM1_LINE;
	out_machine->has_uart_line = true;
	console_start(&out_machine->uart);
	if (info->magic != START_INFO_MAGIC)
		panic("not started as PVH says");
	if (info->command_line)
		options_copy(out_machine->command_line,
			     (const char *)(uintptr_t)info->command_line);
	read_memory(&out_machine->memory, info);
	options_each(out_machine->command_line, "virtio_mmio.device", add_mmio, out_machine);
	acpi_read(info->root);
	out_machine->pci = (struct pci_host){ .is_configured = true, .bus_count = 256 };
	out_machine->has_pci = true;
}

void arch_start(void)
{
	trap_start();
	apic_start();
	clock_start();
}

static _Noreturn void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* An exception without a handler resets the processor. */
static _Noreturn void reset(void)
{
	static const struct {
		uint16_t limit;
		uint64_t address;
	} __attribute__((__packed__)) none = { 0, 0 };

	__asm__ volatile("lidt %0; int3" ::"m"(none));
	stop();
}

void arch_power_off(bool has_failed)
{
	if (has_failed)
		port_write(DEBUG_EXIT_PORT, 1, 1);
	if (acpi.sleep_register)
		register_write(acpi.sleep_register, 1, SLEEP_ENABLE_REGISTER);
	if (acpi.control_port)
		port_write(acpi.control_port, 2, SLEEP_ENABLE_PORT);
	/* Without ACPI a reset is the end, where QEMU was told -no-reboot. */
	if (!acpi.sleep_register && !acpi.control_port)
		reset();
	stop();
}

void arch_reboot(void)
{
	if (acpi.reset_register && acpi.is_reset_port)
		port_write((uint16_t)acpi.reset_register, 1, acpi.reset_value);
	else if (acpi.reset_register)
		register_write(acpi.reset_register, 1, acpi.reset_value);
	reset();
}
