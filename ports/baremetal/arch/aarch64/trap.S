/* SPDX-License-Identifier: MIT */

/*
 * Exception vectors. An interrupt saves what a C function may change, calls interrupt(), returns;
 * anything else ends in fault(). Source: Arm Architecture Reference Manual, D1.3.
 */

	.text
	.macro vector target
	.balign 128
	b \target
	.endm

	.globl vectors
	.balign 2048
vectors:
	vector to_fault
	vector to_fault
	vector to_fault
	vector to_fault
	vector to_fault		/* EL1 with its own stack: synchronous */
	vector to_interrupt	/* IRQ */
	vector to_fault
	vector to_fault
	.rept 8
	vector to_fault
	.endr

to_interrupt:
	sub sp, sp, #192
	stp x0, x1, [sp, #0]
	stp x2, x3, [sp, #16]
	stp x4, x5, [sp, #32]
	stp x6, x7, [sp, #48]
	stp x8, x9, [sp, #64]
	stp x10, x11, [sp, #80]
	stp x12, x13, [sp, #96]
	stp x14, x15, [sp, #112]
	stp x16, x17, [sp, #128]
	stp x18, x30, [sp, #144]
	mrs x0, elr_el1
	mrs x1, spsr_el1
	stp x0, x1, [sp, #160]
	bl interrupt
	ldp x0, x1, [sp, #160]
	msr elr_el1, x0
	msr spsr_el1, x1
	ldp x18, x30, [sp, #144]
	ldp x16, x17, [sp, #128]
	ldp x14, x15, [sp, #112]
	ldp x12, x13, [sp, #96]
	ldp x10, x11, [sp, #80]
	ldp x8, x9, [sp, #64]
	ldp x6, x7, [sp, #48]
	ldp x4, x5, [sp, #32]
	ldp x2, x3, [sp, #16]
	ldp x0, x1, [sp, #0]
	add sp, sp, #192
	eret

to_fault:
	mrs x0, esr_el1
	mrs x1, elr_el1
	mrs x2, far_el1
	b fault
