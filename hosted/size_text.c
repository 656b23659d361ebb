/* SPDX-License-Identifier: MIT */
#include "hosted/size_text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DECIMALS_MAX 6
#define MILLION 1000000u
#define BILLION 1000000000u

/* A number being read: whole, and millionths. */
struct number {
	uint64_t whole;
	uint64_t millionths;
	bool has_decimals;
};

/* Where in the text something is wrong, for people: the character and its place. */
static enum aero_status blame(struct aero_error *error, const char *text, const char *at,
			      const char *why)
{
	size_t position = (size_t)(at - text) + 1;

	if (!*at)
		return aero_error_set(error, AERO_EINVAL, "size \"%s\" ends at position %zu: %s",
				      text, position, why);
	if (*at < ' ' || *at > '~')
		return aero_error_set(error, AERO_EINVAL,
				      "size: character 0x%02x at position %zu: %s",
				      (unsigned char)*at, position, why);
	return aero_error_set(error, AERO_EINVAL, "size \"%s\": \"%c\" at position %zu: %s", text,
			      *at, position, why);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum aero_status too_large(struct aero_error *error, const char *text)
{
	return aero_error_set(error, AERO_ERANGE, "size \"%s\" is 2^63 bytes or more", text);
}

static enum aero_status read_whole(const char **at, const char *text, struct number *out,
				   struct aero_error *error)
{
	if (!is_digit(**at))
		return blame(error, text, *at, "a digit is missing");
	for (; is_digit(**at); ++*at) {
		if (__builtin_mul_overflow(out->whole, 10u, &out->whole) ||
		    __builtin_add_overflow(out->whole, (uint64_t)(**at - '0'), &out->whole))
			return too_large(error, text);
	}
	return AERO_OK;
}

static enum aero_status read_decimals(const char **at, const char *text, struct number *out,
				      struct aero_error *error)
{
	unsigned int weight = MILLION / 10;

	if (**at != '.')
		return AERO_OK;
	++*at;
	if (!is_digit(**at))
		return blame(error, text, *at, "a digit is missing");
	for (; is_digit(**at); ++*at, weight /= 10) {
		if (!weight)
			return blame(error, text, *at, "more than 6 decimals");
		out->millionths += weight * (uint64_t)(**at - '0');
	}
	out->has_decimals = true;
	return AERO_OK;
}

static enum aero_status read_share(const struct number *number, const char *text,
				   struct aero_size *out, struct aero_error *error)
{
	if (number->whole > 100 || (number->whole == 100 && number->millionths))
		return aero_error_set(error, AERO_ERANGE,
				      "size \"%s\" is more than all of the guest's memory", text);
	out->is_share = true;
	out->bytes = 0;
	out->share = number->whole * (BILLION / 100) + number->millionths * 10;
	return AERO_OK;
}

/* How many bits the unit shifts; moves past it. -1: none is there. */
static int read_unit(const char **at)
{
	static const char units[] = "KMGT";
	const char *unit = **at ? strchr(units, **at & ~0x20) : NULL;

	/* & ~0x20 makes capitals of letters, and nonsense of other characters. */
	if (!unit || !((**at | 0x20) >= 'a' && (**at | 0x20) <= 'z'))
		return -1;
	++*at;
	if (!strncasecmp(*at, "ib", 2))
		*at += 2;
	return 10 * (int)(unit - units + 1);
}

static enum aero_status scale(const struct number *number, int shift, const char *text,
			      struct aero_size *out, struct aero_error *error)
{
	uint64_t bytes;

	if (__builtin_mul_overflow(number->whole, 1ull << shift, &bytes) ||
	    __builtin_add_overflow(bytes, (number->millionths << shift) / MILLION, &bytes) ||
	    bytes > INT64_MAX)
		return too_large(error, text);
	out->is_share = false;
	out->share = 0;
	out->bytes = bytes;
	return AERO_OK;
}

static enum aero_status read_bytes(const char **at, const char *text, const struct number *number,
				   struct aero_size *out, struct aero_error *error)
{
	const char *unit = *at;
	int shift = read_unit(at);

	if (shift < 0 && *unit)
		return blame(error, text, unit, "not a unit, which are K, M, G, T and %");
	if (shift < 0 && number->has_decimals)
		return blame(error, text, unit, "a unit is missing: bytes are whole");
	return scale(number, shift < 0 ? 0 : shift, text, out, error);
}

static enum aero_status check_end(const char *at, const char *text, struct aero_error *error)
{
	if (!*at)
		return AERO_OK;
	if (*at == 'b' || *at == 'B')
		return blame(error, text, at,
			     "K, M, G and T alone are powers of 1024; leave it out");
	return blame(error, text, at, "something follows the size");
}

enum aero_status aero_size_parse(const char *text, struct aero_size *out_size,
				 struct aero_error *error)
{
	struct number number = { 0, 0, false };
	struct aero_size size;
	const char *at = text;
	enum aero_status status;

	status = read_whole(&at, text, &number, error);
	if (status == AERO_OK)
		status = read_decimals(&at, text, &number, error);
	if (status != AERO_OK)
		return status;
	if (*at == '%') {
		at++;
		status = read_share(&number, text, &size, error);
	} else {
		status = read_bytes(&at, text, &number, &size, error);
	}
	if (status == AERO_OK)
		status = check_end(at, text, error);
	if (status == AERO_OK)
		*out_size = size;
	return status;
}

uint64_t aero_size_bytes(const struct aero_size *size, uint64_t whole_bytes)
{
	if (!size->is_share)
		return size->bytes;
	return whole_bytes / BILLION * size->share + whole_bytes % BILLION * size->share / BILLION;
}

const char *aero_size_format(uint64_t bytes, char out[AERO_SIZE_TEXT_BYTES])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned int unit = 0;

	while (unit < 6 && bytes >> 10 * (unit + 1))
		unit++;
	if (bytes & ((1ull << 10 * unit) - 1))
		snprintf(out, AERO_SIZE_TEXT_BYTES, "%.2f %s",
			 (double)bytes / (double)(1ull << 10 * unit), units[unit]);
	else
		snprintf(out, AERO_SIZE_TEXT_BYTES, "%llu %s",
			 (unsigned long long)(bytes >> 10 * unit),
			 bytes == 1 ? "byte" : units[unit]);
	return out;
}
