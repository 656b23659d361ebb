/* SPDX-License-Identifier: MIT */

/*
 * The four functions that a freestanding compiler may call. A barrier in each loop keeps it from
 * recognising the loop as the function that it is the body of.
 */

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

/* May alias anything, at any address. */
typedef uint64_t __attribute__((__may_alias__, __aligned__(1))) any_word;

#define BARRIER() __asm__ volatile("" ::: "memory")

static void copy_up(char *dst, const char *src, size_t len)
{
	for (; len >= 8; len -= 8, dst += 8, src += 8) {
		*(any_word *)(void *)dst = *(const any_word *)(const void *)src;
		BARRIER();
	}
	for (; len; len--) {
		*dst++ = *src++;
		BARRIER();
	}
}

void *memcpy(void *restrict dst, const void *restrict src, size_t len)
{
	copy_up(dst, src, len);
	return dst;
}

void *memmove(void *dst, const void *src, size_t len)
{
	char *to = dst;
	const char *from = src;

	if ((uintptr_t)dst - (uintptr_t)src >= len) {
		copy_up(dst, src, len);
		return dst;
	}
	while (len) {
		len--;
		to[len] = from[len];
		BARRIER();
	}
	return dst;
}

void *memset(void *dst, int byte, size_t len)
{
	uint64_t word = (unsigned char)byte * 0x0101010101010101ull;
	char *at = dst;

	for (; len >= 8; len -= 8, at += 8) {
		*(any_word *)(void *)at = word;
		BARRIER();
	}
	for (; len; len--) {
		*at++ = (char)byte;
		BARRIER();
	}
	return dst;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *left = a;
	const unsigned char *right = b;

	for (; len; len--, left++, right++) {
		if (*left != *right)
			return *left < *right ? -1 : 1;
		BARRIER();
	}
	return 0;
}
