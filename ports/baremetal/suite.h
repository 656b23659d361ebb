/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_SUITE_H
#define AEROSTAT_PORTS_BAREMETAL_SUITE_H

/* The suite that every port must pass (tests/port), run in this kernel. */

struct suite_result {
	unsigned int passed;
	unsigned int failed;
	unsigned int skipped;
};

/* Says each check's result on the console. */
void suite_run(struct suite_result *out_result);

#endif
