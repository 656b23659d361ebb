/* SPDX-License-Identifier: MIT */
#include "arch/arch.h"
#include "commands.h"
#include "console.h"
#include "driver.h"
#include "options.h"
#include "port.h"
#include "work.h"

/* Orders: bits, as 0x201; absent: all that the kernel likes. */
static void start_memory(const char *options, struct memory_map *map)
{
	struct port_options port_options = {
		.orders = (uint32_t)options_number(options, "orders", 0),
		.has_marks = options_number(options, "marks", 0) != 0,
	};

	memory_map_remove(map, (uintptr_t)kernel_begin, (uint64_t)(kernel_end - kernel_begin));
	memory.page_order = (unsigned int)options_number(options, "page_order", 0);
	if (memory.page_order > 4)
		panic("page_order is 0 to 4");
	memory.has_poison = options_has(options, "poison");
	memory.poison = (uint32_t)options_number(options, "poison", 0);
	port_init(&port_options, map);
	commands_init(map);
	memory_start(map);
}

void kernel_main(uintptr_t boot_data)
{
	const char *line;

	arch_discover(&machine, boot_data);
	start_memory(machine.command_line, &machine.memory);
	arch_start();
	if (!machine.has_uart_line || !console_listen(machine.uart_line))
		panic("the console has no interrupt");
	arch_irq_enable();
	driver_start();
	commands_say_ready();
	for (;;) {
		while ((line = console_line()))
			commands_obey(line);
		work_wait(driver_step());
	}
}
