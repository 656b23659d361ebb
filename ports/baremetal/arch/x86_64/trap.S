/* SPDX-License-Identifier: MIT */

/*
 * One entry for each vector: saves what a C function may change, calls trap(frame), returns. The
 * processor has aligned the stack and pushed ss, rsp, rflags, cs, rip and, for some, an error code.
 * The layout is struct trap_frame of trap.c.
 */

#define VECTORS 96

	.text
	.macro entry vector
	.balign 16
	/* Vectors that push an error code: 8, 10 to 14, 17, 21, 29, 30. */
	.if (\vector != 8) && ((\vector < 10) || (\vector > 14)) && (\vector != 17) && \
	    (\vector != 21) && (\vector != 29) && (\vector != 30)
	pushq $0
	.endif
	pushq $\vector
	jmp common
	.endm

	.globl trap_entries
	.balign 16
trap_entries:
	.altmacro
	.set number, 0
	.rept VECTORS
	entry %number
	.set number, number + 1
	.endr

common:
	pushq %r11
	pushq %r10
	pushq %r9
	pushq %r8
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	cld
	movq %rsp, %rdi
	/* The frame is an even number of words, and rbp keeps where it is. */
	pushq %rbp
	movq %rsp, %rbp
	andq $-16, %rsp
	call trap
	movq %rbp, %rsp
	popq %rbp
	popq %rax
	popq %rcx
	popq %rdx
	popq %rsi
	popq %rdi
	popq %r8
	popq %r9
	popq %r10
	popq %r11
	addq $16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
