/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <stddef.h>

#define LINES_MAX 16u

static struct {
	irq_handler handler;
	void *ctx;
	unsigned int line;
} lines[LINES_MAX];
static unsigned int count;

bool lines_add(unsigned int line, irq_handler handler, void *ctx)
{
	uintptr_t state;

	if (count == LINES_MAX)
		return false;
	state = arch_irq_save();
	lines[count].line = line;
	lines[count].handler = handler;
	lines[count].ctx = ctx;
	count++;
	arch_irq_restore(state);
	return true;
}

void lines_call(unsigned int line)
{
	for (unsigned int i = 0; i < count; i++) {
		if (lines[i].line == line)
			lines[i].handler(lines[i].ctx);
	}
}
