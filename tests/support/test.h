/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_TESTS_SUPPORT_TEST_H
#define AEROSTAT_TESTS_SUPPORT_TEST_H

/*
 * What every test includes first: cmocka, or where there is none (32-bit and big-endian builds)
 * the part of it in plain_cmocka.h. Tests print TAP in both cases when scripts/run-tests runs them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef AERO_TEST_PLAIN
#include "support/plain_cmocka.h"
#else
#include <cmocka.h>
#endif

/* Names of an array's length, so that tests need no library header for it. */
#define TEST_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
