@ From int8 to pairs of int16.
    .syntax unified
    .thumb

@ void fewbit_dsp_expand4(u32 *to, const i8 *const from[4], usize words)
@ Four pixels side by side: 13 instructions and 2 of the loop for 16 elements.
@ Registers: r0 to, r1 r2 r3 r12 from, lr words left, r4-r11 the eight words of a step.
    .section .text.fewbit_dsp_expand4,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_expand4
    .type fewbit_dsp_expand4,%function
    .thumb_func
fewbit_dsp_expand4:
    push {{r4-r11, lr}}
    mov lr, r2
    ldm r1, {{r1, r2, r3, r12}}
1:  ldr r4, [r1], #4
    ldr r5, [r2], #4
    ldr r6, [r3], #4
    ldr r7, [r12], #4
    sxtb16 r8, r4, ror #8
    sxtb16 r9, r5, ror #8
    sxtb16 r10, r6, ror #8
    sxtb16 r11, r7, ror #8
    sxtb16 r4, r4
    sxtb16 r5, r5
    sxtb16 r6, r6
    sxtb16 r7, r7
    stm r0!, {{r4-r11}}
    subs lr, lr, #1
    bne 1b
    pop {{r4-r11, pc}}
    .size fewbit_dsp_expand4, . - fewbit_dsp_expand4

@ void fewbit_dsp_sums(const u32 *from, const u32 *end, i32 sums[4])
@ 8 times the sum of each of four expanded pixels; 7 instructions for 8 elements.
@ Registers: r0 from, r1 end, r2 sums, r3 r10 r11 r12 sums, r4-r7 the words, lr ones.
    .section .text.fewbit_dsp_sums,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_sums
    .type fewbit_dsp_sums,%function
    .thumb_func
fewbit_dsp_sums:
    push {{r4-r11, lr}}
    mov lr, #0x00080008
    mov r3, #0
    mov r10, r3
    mov r11, r3
    mov r12, r3
1:  ldm r0!, {{r4-r7}}
    smlad r3, r4, lr, r3
    smlad r10, r5, lr, r10
    smlad r11, r6, lr, r11
    smlad r12, r7, lr, r12
    cmp r0, r1
    bne 1b
    stm r2, {{r3, r10, r11, r12}}
    pop {{r4-r11, pc}}
    .size fewbit_dsp_sums, . - fewbit_dsp_sums

@ i32 fewbit_dsp_expand(u32 *to, const i8 *from, usize words)
@ One row; returns 8 times the sum. 8 instructions for 4 elements.
    .section .text.fewbit_dsp_expand,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_expand
    .type fewbit_dsp_expand,%function
    .thumb_func
fewbit_dsp_expand:
    push {{r4, r5, r6, lr}}
    mov r12, #0x00080008
    mov r6, #0
1:  ldr r3, [r1], #4
    sxtb16 r4, r3
    sxtb16 r5, r3, ror #8
    smlad r6, r4, r12, r6
    smlad r6, r5, r12, r6
    strd r4, r5, [r0], #8
    subs r2, r2, #1
    bne 1b
    mov r0, r6
    pop {{r4, r5, r6, pc}}
    .size fewbit_dsp_expand, . - fewbit_dsp_expand

@ void fewbit_dsp_copy_lines(i8 *to, const i8 *from, usize lines, usize length, usize stride)
@ Words, then single bytes: 4 instructions per word.
@ Registers: r0 to, r1 from, r2 lines left, r3 length, r4 gap between lines, r5 bytes left, r6 value.
    .section .text.fewbit_dsp_copy_lines,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_copy_lines
    .type fewbit_dsp_copy_lines,%function
    .thumb_func
fewbit_dsp_copy_lines:
    push {{r4, r5, r6, lr}}
    ldr r4, [sp, #16]
    sub r4, r4, r3
1:  subs r5, r3, #4
    blt 3f
2:  ldr r6, [r1], #4
    str r6, [r0], #4
    subs r5, r5, #4
    bge 2b
3:  adds r5, r5, #4
    beq 5f
4:  ldrb r6, [r1], #1
    strb r6, [r0], #1
    subs r5, r5, #1
    bne 4b
5:  add r1, r1, r4
    subs r2, r2, #1
    bne 1b
    pop {{r4, r5, r6, pc}}
    .size fewbit_dsp_copy_lines, . - fewbit_dsp_copy_lines
