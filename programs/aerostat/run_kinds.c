/* SPDX-License-Identifier: MIT */
#include "run_kinds.h"

#include <string.h>

const struct run_kind *const run_kinds[] = {
	&run_kind_uml,
	&run_kind_vmware,
	&run_kind_linux,
	&run_kind_baremetal_x86_64,
	&run_kind_baremetal_aarch64,
	&run_kind_baremetal_riscv64,
	NULL,
};

const struct run_kind *run_kind_find(const char *name)
{
	size_t i;

	for (i = 0; run_kinds[i]; i++) {
		const char *alias = run_kinds[i]->alias;

		if (!strcmp(run_kinds[i]->name, name) || (alias && !strcmp(alias, name)))
			return run_kinds[i];
	}
	return NULL;
}
