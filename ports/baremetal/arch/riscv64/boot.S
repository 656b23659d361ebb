/* SPDX-License-Identifier: MIT */

/*
 * The first code: entered by SBI firmware in supervisor mode with translation off; a0 is the number
 * of this processor, a1 the device tree. Translation stays off: addresses are physical, and what
 * memory is is a property of its address.
 * Source: RISC-V SBI Specification 1.0; RISC-V Privileged Architecture 1.12, chapter 4.
 */

	.section .text.boot, "ax"
	.globl start
start:
	csrw sie, zero
	csrw satp, zero
	la sp, stack_end
	la t0, bss_begin
	la t1, bss_end
1:	bgeu t0, t1, 2f
	sd zero, 0(t0)
	addi t0, t0, 8
	j 1b
2:	la t0, boot_processor
	sd a0, 0(t0)
	la t0, trap_entry
	csrw stvec, t0
	mv a0, a1
	call kernel_main
3:	wfi
	j 3b

	.section .bss
	.balign 16
	.skip 65536
stack_end:
