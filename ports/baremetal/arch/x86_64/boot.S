/* SPDX-License-Identifier: MIT */

/*
 * The first code, entered as PVH says: 32 bits, flat segments, no paging, ebx the address of the
 * start info. Maps the first 64 GiB one to one in pages of 2 MiB and goes on in 64 bits.
 * Source: Xen, docs/misc/pvh; Intel SDM 3A, 10.8.5 (initialising IA-32e mode).
 */

#define GIBS 64
#define CR0_PE_MP_PG 0x80000003
#define CR4_PAE 0x20
#define EFER 0xc0000080
#define EFER_LME 0x100
#define PRESENT_WRITABLE 3
#define PRESENT_WRITABLE_LARGE 0x83

	.section .note.pvh, "a", @note
	.balign 4
	.long 4				/* name */
	.long 8				/* content */
	.long 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad start32

	.section .text.boot, "ax"
	.code32
	.globl start32
start32:
	cli
	cld
	movl $bss_begin, %edi
	movl $bss_end, %ecx
	subl %edi, %ecx
	shrl $2, %ecx
	xorl %eax, %eax
	rep stosl

	/* One table of the highest level has one entry, its table one for each GiB. */
	movl $level3, %eax
	orl $PRESENT_WRITABLE, %eax
	movl %eax, level4
	movl $level2, %eax
	orl $PRESENT_WRITABLE, %eax
	movl $level3, %edi
	movl $GIBS, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b

	movl $level2, %edi
	movl $PRESENT_WRITABLE_LARGE, %eax
	xorl %edx, %edx
	movl $(GIBS * 512), %ecx
2:	movl %eax, (%edi)
	movl %edx, 4(%edi)
	addl $0x200000, %eax
	adcl $0, %edx
	addl $8, %edi
	loop 2b

	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $level4, %eax
	movl %eax, %cr3
	movl $EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl $CR0_PE_MP_PG, %eax
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $start64

	.code64
start64:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl $stack_end, %esp
	movl %ebx, %edi
	call kernel_main
	ud2

	.section .rodata
	.balign 8
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* code, 64 bits */
	.quad 0x00cf93000000ffff	/* data */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt

	.section .bss
	.balign 4096
level4:	.skip 4096
level3:	.skip 4096
level2:	.skip 4096 * GIBS
	.skip 65536
stack_end:

	.section .note.GNU-stack, "", @progbits
