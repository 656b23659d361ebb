/* SPDX-License-Identifier: MIT */
#ifndef AEROSTAT_PORTS_BAREMETAL_REGISTERS_H
#define AEROSTAT_PORTS_BAREMETAL_REGISTERS_H

/*
 * Registers of devices. Mapped so that accesses stay in order among themselves; the fences order
 * them with memory: what was written before is visible to the device that is told of it, and what
 * is read afterwards is not older than its answer.
 */

#include <stdint.h>

static inline void register_write(uint64_t address, unsigned int bytes, uint32_t value)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	switch (bytes) {
	case 1:
		*(volatile uint8_t *)(uintptr_t)address = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)(uintptr_t)address = (uint16_t)value;
		break;
	default:
		*(volatile uint32_t *)(uintptr_t)address = value;
		break;
	}
}

static inline uint32_t register_read(uint64_t address, unsigned int bytes)
{
	uint32_t value;

	switch (bytes) {
	case 1:
		value = *(volatile uint8_t *)(uintptr_t)address;
		break;
	case 2:
		value = *(volatile uint16_t *)(uintptr_t)address;
		break;
	default:
		value = *(volatile uint32_t *)(uintptr_t)address;
		break;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return value;
}

#if defined(__x86_64__)
static inline void port_write(uint16_t port, unsigned int bytes, uint32_t value)
{
	if (bytes == 1)
		__asm__ volatile("outb %b0, %w1" ::"a"(value), "Nd"(port) : "memory");
	else if (bytes == 2)
		__asm__ volatile("outw %w0, %w1" ::"a"(value), "Nd"(port) : "memory");
	else
		__asm__ volatile("outl %0, %w1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint32_t port_read(uint16_t port, unsigned int bytes)
{
	uint32_t value = 0;

	if (bytes == 1)
		__asm__ volatile("inb %w1, %b0" : "+a"(value) : "Nd"(port) : "memory");
	else if (bytes == 2)
		__asm__ volatile("inw %w1, %w0" : "+a"(value) : "Nd"(port) : "memory");
	else
		__asm__ volatile("inl %w1, %0" : "+a"(value) : "Nd"(port) : "memory");
	return value;
}
#endif

#endif
