/* SPDX-License-Identifier: MIT */
#include "text.h"

void text_init(struct text *text, char *buf, size_t size)
{
	text->at = buf;
	text->end = buf + size - 1;
	*buf = '\0';
}

void text_add(struct text *text, const char *what)
{
	while (*what && text->at < text->end)
		*text->at++ = *what++;
	*text->at = '\0';
}

static void add_based(struct text *text, uint64_t number, unsigned int base)
{
	char digits[24];
	char *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do {
		*--at = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	text_add(text, at);
}

void text_add_number(struct text *text, uint64_t number)
{
	add_based(text, number, 10);
}

void text_add_hex(struct text *text, uint64_t number)
{
	text_add(text, "0x");
	add_based(text, number, 16);
}

void text_add_pair(struct text *text, const char *key, uint64_t number)
{
	text_add(text, key);
	text_add(text, "=");
	text_add_number(text, number);
}

size_t text_len(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	return len;
}

bool text_is_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool text_begins(const char *text, const char *with)
{
	while (*with && *text == *with) {
		text++;
		with++;
	}
	return !*with;
}

static int digit_of(char c, unsigned int base)
{
	int digit = -1;

	if (c >= '0' && c <= '9')
		digit = c - '0';
	else if (c >= 'a' && c <= 'f')
		digit = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		digit = c - 'A' + 10;
	return digit < (int)base ? digit : -1;
}

static unsigned int shift_of(char unit)
{
	switch (unit) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	default:
		return 0;
	}
}

bool text_read_number(const char **at, uint64_t *out_number)
{
	const char *next = *at;
	unsigned int base = 10;
	uint64_t number = 0;
	unsigned int shift;

	if (next[0] == '0' && next[1] == 'x') {
		base = 16;
		next += 2;
	}
	if (digit_of(*next, base) < 0)
		return false;
	for (; digit_of(*next, base) >= 0; next++) {
		uint64_t digit = (uint64_t)digit_of(*next, base);

		if (number > (UINT64_MAX - digit) / base)
			return false;
		number = number * base + digit;
	}
	shift = shift_of(*next);
	if (shift && number > UINT64_MAX >> shift)
		return false;
	*out_number = number << shift;
	*at = next + (shift != 0);
	return true;
}
