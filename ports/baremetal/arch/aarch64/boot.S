/* SPDX-License-Identifier: MIT */

/*
 * The first code: entered with the MMU off, at EL1, or EL2 which it leaves; x0 may be the device
 * tree. Maps 512 GiB one to one in blocks of 1 GiB: device registers below 1 GiB and from 256 GiB
 * on, memory between, as QEMU's "virt" machine has them. Caches go on, so that memory is ordinary
 * and unaligned accesses are allowed.
 * Source: Arm Architecture Reference Manual, D8 (translation), D19 (registers).
 */

#define BLOCK_DEVICE 0x0060000000000405	/* XN, access flag, attribute 1, block */
#define BLOCK_MEMORY 0x0000000000000701	/* access flag, inner shareable, attribute 0, block */
#define MAIR 0x04ff			/* 0: write-back; 1: device, nGnRE */
#define TCR 0x0000000200803519		/* 39 bits, 4 KiB, inner shareable, write-back; no TTBR1 */
#define SCTLR 0x30d01805		/* RES1, I, C, M */
#define HCR_EL1_IS_64_BIT 0x80000000
#define SPSR_EL1H_MASKED 0x3c5

	.section .text.boot, "ax"
	.globl start
start:
	mov x19, x0
	msr daifset, #0xf
	mrs x1, CurrentEL
	cmp x1, #(2 << 2)
	b.ne 1f
	mov x1, #HCR_EL1_IS_64_BIT
	msr hcr_el2, x1
	mov x1, #3			/* counters are for EL1 too */
	msr cnthctl_el2, x1
	msr cntvoff_el2, xzr
	mov x1, #SPSR_EL1H_MASKED
	msr spsr_el2, x1
	adr x1, 1f
	msr elr_el2, x1
	eret

1:	adrp x1, bss_begin
	add x1, x1, :lo12:bss_begin
	adrp x2, bss_end
	add x2, x2, :lo12:bss_end
2:	cmp x1, x2
	b.hs 3f
	stp xzr, xzr, [x1], #16
	b 2b

	/* x1 entry, x2 number, x3 address with attributes, x6 1 GiB */
3:	adrp x1, level1
	mov x2, #0
	mov x6, #(1 << 30)
	ldr x3, =BLOCK_DEVICE
	ldr x4, =BLOCK_MEMORY
	sub x5, x4, x3
4:	cmp x2, #1
	b.ne 5f
	add x3, x3, x5
5:	cmp x2, #256
	b.ne 6f
	sub x3, x3, x5
6:	str x3, [x1], #8
	add x3, x3, x6
	add x2, x2, #1
	cmp x2, #512
	b.ne 4b

	dsb sy
	ldr x1, =MAIR
	msr mair_el1, x1
	ldr x1, =TCR
	msr tcr_el1, x1
	adrp x1, level1
	msr ttbr0_el1, x1
	adrp x1, vectors
	add x1, x1, :lo12:vectors
	msr vbar_el1, x1
	isb
	tlbi vmalle1
	ic iallu
	dsb sy
	isb
	ldr x1, =SCTLR
	msr sctlr_el1, x1
	isb

	msr spsel, #1
	adrp x1, stack_end
	add x1, x1, :lo12:stack_end
	mov sp, x1
	mov x29, #0
	mov x30, #0
	mov x0, x19
	bl kernel_main
7:	wfi
	b 7b

	.section .bss
	.balign 4096
level1:	.skip 4096
	.skip 65536
stack_end:
