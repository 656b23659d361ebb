/* SPDX-License-Identifier: MIT */
#ifndef AERO_CORE_PLATFORM_H
#define AERO_CORE_PLATFORM_H

/*
 * What the compiler and the processor supply: the only place with barriers, byte order and bit
 * scanning. No libgcc call may come out of it (64-bit division, popcount), which the nm proof of
 * scripts/check watches.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define aero_likely(x) __builtin_expect(!!(x), 1)
#define aero_unlikely(x) __builtin_expect(!!(x), 0)
#define aero_cold __attribute__((__cold__)) /* a path only a broken peer takes */

/* For the slow half of a function whose short half would save registers for it. */
#define aero_noinline __attribute__((__noinline__))

/* The four functions every freestanding compiler may call anyway. */
void *memcpy(void *restrict dst, const void *restrict src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

/* Of a few bytes, in place: to a freestanding compiler memcpy() is a function like any other. */
static inline void aero_copy(void *restrict dst, const void *restrict src, size_t len)
{
	__builtin_memcpy(dst, src, len);
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define AERO_HOST_BIG_ENDIAN 1
#else
#define AERO_HOST_BIG_ENDIAN 0
#endif

static inline uint16_t aero_swap16(uint16_t v, bool swap)
{
	return swap ? __builtin_bswap16(v) : v;
}

static inline uint32_t aero_swap32(uint32_t v, bool swap)
{
	return swap ? __builtin_bswap32(v) : v;
}

static inline uint64_t aero_swap64(uint64_t v, bool swap)
{
	return swap ? __builtin_bswap64(v) : v;
}

/* Little-endian bytes at any alignment. */
static inline uint16_t aero_get_le16(const void *p)
{
	uint16_t v;

	aero_copy(&v, p, sizeof(v));
	return aero_swap16(v, AERO_HOST_BIG_ENDIAN);
}

static inline uint32_t aero_get_le32(const void *p)
{
	uint32_t v;

	aero_copy(&v, p, sizeof(v));
	return aero_swap32(v, AERO_HOST_BIG_ENDIAN);
}

static inline uint64_t aero_get_le64(const void *p)
{
	uint64_t v;

	aero_copy(&v, p, sizeof(v));
	return aero_swap64(v, AERO_HOST_BIG_ENDIAN);
}

static inline void aero_put_le32(void *p, uint32_t v)
{
	v = aero_swap32(v, AERO_HOST_BIG_ENDIAN);
	aero_copy(p, &v, sizeof(v));
}

static inline void aero_put_le64(void *p, uint64_t v)
{
	v = aero_swap64(v, AERO_HOST_BIG_ENDIAN);
	aero_copy(p, &v, sizeof(v));
}

/* Index of the lowest and highest set bit; v is not 0. */
static inline unsigned int aero_low_bit(uint64_t v)
{
#if UINTPTR_MAX > 0xffffffffu
	return (unsigned int)__builtin_ctzll(v);
#else
	return (uint32_t)v ? (unsigned int)__builtin_ctz((uint32_t)v)
			   : 32 + (unsigned int)__builtin_ctz((uint32_t)(v >> 32));
#endif
}

static inline unsigned int aero_high_bit(uint64_t v)
{
#if UINTPTR_MAX > 0xffffffffu
	return 63 - (unsigned int)__builtin_clzll(v);
#else
	return v >> 32 ? 63 - (unsigned int)__builtin_clz((uint32_t)(v >> 32))
		       : 31 - (unsigned int)__builtin_clz((uint32_t)v);
#endif
}

static inline unsigned int aero_popcount(uint64_t v)
{
	v -= (v >> 1) & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + ((v >> 2) & 0x3333333333333333ull);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (unsigned int)((v * 0x0101010101010101ull) >> 56);
}

/* Bits lo .. lo + n - 1; n is 1 to 64 and lo + n at most 64. */
static inline uint64_t aero_bits(unsigned int lo, unsigned int n)
{
	return (~0ull >> (64 - n)) << lo;
}

/*
 * Memory shared with the peer. Every field is read and written once, whole, by these; the fences
 * order them. Each use names its partner.
 */
static inline uint16_t aero_load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t aero_load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void aero_store16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

/* A flag that any context raises and one context takes; what was written before the raising is seen
 * after the taking. A raising between look and taking is of a matter that the taker then sees. */
static inline void aero_flag_raise(uint32_t *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

static inline bool aero_flag_take(uint32_t *flag)
{
	if (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
		return false;
	__atomic_store_n(flag, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

static inline bool aero_flag_is_raised(const uint32_t *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* A count that any context raises; it wraps. */
static inline void aero_count_up(uint32_t *count)
{
	__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

static inline uint32_t aero_count_read(const uint32_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

/* Nothing moves across it in the compiler. For calls of the host on the same processor. */
static inline void aero_compiler_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

/* Reads before stay before reads and writes after. */
static inline void aero_fence_acquire(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Reads and writes before stay before writes after. */
static inline void aero_fence_release(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Writes before are visible before reads after: the store-then-look of event suppression. */
static inline void aero_fence_full(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * Copies bytes that the peer may be changing. The compiler must not read the source a second time
 * where the copy is used: what was checked is what is used.
 */
static inline void aero_copy_from_peer(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	__asm__ volatile("" ::: "memory");
}

/* Checked sums of sizes a peer names: false on overflow. */
static inline bool aero_add64(uint64_t a, uint64_t b, uint64_t *out)
{
	*out = a + b;
	return *out >= a;
}

#endif
