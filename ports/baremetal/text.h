/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_TEXT_H
#define AEROSTAT_PORTS_BAREMETAL_TEXT_H

/* Making and reading lines: what a kernel needs of printf and strtoull. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line that grows and stays terminated; what does not fit is left out. */
struct text {
	char *at;
	char *end; /* the last byte, for the terminator */
};

void text_init(struct text *text, char *buf, size_t size);
void text_add(struct text *text, const char *what);
void text_add_number(struct text *text, uint64_t number);
void text_add_hex(struct text *text, uint64_t number);

/* " key=number", without the blank at the beginning of a line: key says it. */
void text_add_pair(struct text *text, const char *key, uint64_t number);

size_t text_len(const char *text);
bool text_is_equal(const char *a, const char *b);
bool text_begins(const char *text, const char *with);

/*
 * Reads a number, decimal or with 0x hexadecimal, and moves *at behind it. Letters K, M, G behind
 * it multiply. false: there is none, or it is above 64 bits; *at is where it was.
 */
bool text_read_number(const char **at, uint64_t *out_number);

#endif
