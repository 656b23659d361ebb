/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_CHECK_H
#define AEROSTAT_TESTS_SUPPORT_CHECK_H

/* What must hold in a fuzz target, in every build. */

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

#endif
