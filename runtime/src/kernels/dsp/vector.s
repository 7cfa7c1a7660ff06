@ One row of activations times pairs of output channels.
@
@ void fewbit_dsp_vector_int8(const Job *job), and _int4. Job is that of multiply.s; J_PARTIAL's first word is the only one used, and
@ J_S2's first word is 8 * sum(x) for int4. Activations are one word for each pair (4q, 4q + 2), (4q + 1, 4q + 3).
@
@ int8: 14 instructions for 16 MAC (0.875), 2 a turn of 4 steps. int4: 20 for 16 MAC (1.25).
@ Registers: r0 activations, r1 weights, r2-r5 weights, r6-r9 activations, r10 (r4, r5) pairs, r11 first sum, r12 second, lr end.
    .syntax unified
    .thumb

    .macro fewbit_dsp_vector_step_int8
    ldm.w r1!, {{r2-r5}}
    ldm.w r0!, {{r6-r9}}
    sxtb16 r10, r2
    smlad r12, r2, r6, r12
    smlad r11, r10, r6, r11
    sxtb16 r10, r3
    smlad r12, r3, r7, r12
    smlad r11, r10, r7, r11
    sxtb16 r10, r4
    smlad r12, r4, r8, r12
    smlad r11, r10, r8, r11
    sxtb16 r10, r5
    smlad r12, r5, r9, r12
    smlad r11, r10, r9, r11
    .endm

    .macro fewbit_dsp_vector_word_int4 word, even, odd
    and r10, \word, #0x000f000f
    and r4, \word, #0x00f000f0
    smlad r11, r10, \even, r11
    smlad r12, r4, \even, r12
    lsr.w \word, \word, #8
    and r10, \word, #0x000f000f
    and r4, \word, #0x00f000f0
    smlad r11, r10, \odd, r11
    smlad r12, r4, \odd, r12
    .endm

    .macro fewbit_dsp_vector_step_int4
    ldrd r2, r3, [r1], #8
    ldm.w r0!, {{r6-r9}}
    fewbit_dsp_vector_word_int4 r2, r6, r7
    fewbit_dsp_vector_word_int4 r3, r8, r9
    .endm

    @ Sums with bias in r11 and r12; returns to head while there are channels.
    .macro fewbit_dsp_vector_tail head
    ldr r5, [sp, #J_ZERO_POINT]
    ldr r0, [sp, #J_GENERAL]
    cbnz r0, 7f
    smmlar r11, r11, r2, r5
    smmlar r12, r12, r3, r5
    ssat r11, #8, r11
    ssat r12, #8, r12
8:  ldr r0, [sp, #J_OUT]
    strb r11, [r0], #1
    strb r12, [r0], #1
    str r0, [sp, #J_OUT]
    ldr r1, [sp, #J_OUT_END]
    cmp r0, r1
    bne.w \head
    add sp, sp, #96
    pop {{r4-r11, pc}}
7:  ldr r0, [sp, #J_SHIFT]
    lsl r11, r11, r0
    lsl r12, r12, r0
    smmlar r11, r11, r2, r5
    smmlar r12, r12, r3, r5
    fewbit_dsp_next_limits
    fewbit_dsp_limit r11
    fewbit_dsp_next_limits
    fewbit_dsp_limit r12
    b 8b
    .endm

    .section .text.fewbit_dsp_vector_int8,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_vector_int8
    .type fewbit_dsp_vector_int8,%function
    .thumb_func
fewbit_dsp_vector_int8:
    fewbit_dsp_prologue 2f, 56
1:  ldrd r0, r1, [sp, #J_ACT]
    ldr r3, [sp, #J_BIAS]
    ldr r11, [r3]
    mov r12, r11
    mov r4, #0
    str r4, [sp, #J_PARTIAL]
    ldr lr, [sp, #J_FIRST_END]
    ldr r2, [sp, #J_ENTRY]
    bx r2
    .p2align 2
2:  .rept 4
    fewbit_dsp_vector_step_int8
    .endr
    cmp r0, lr
    bne.w 2b
    sub r12, r12, r11
    ldr r3, [sp, #J_PARTIAL]
    add r12, r3, r12, asr #8
    ldr r2, [sp, #J_FINAL]
    cmp r0, r2
    beq 3f
    str r12, [sp, #J_PARTIAL]
    mov r12, r11
    add lr, lr, #1024
    b.w 2b
3:  str r1, [sp, #J_WEIGHTS]
    ldrd r0, r1, [sp, #J_BIAS]
    ldrd r2, r3, [r1], #8
    ldr r4, [r0, #4]
    adds r0, #8
    strd r0, r1, [sp, #J_BIAS]
    add r12, r12, r4
    fewbit_dsp_vector_tail 1b
    .size fewbit_dsp_vector_int8, . - fewbit_dsp_vector_int8

    .section .text.fewbit_dsp_vector_int4,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_vector_int4
    .type fewbit_dsp_vector_int4,%function
    .thumb_func
fewbit_dsp_vector_int4:
    fewbit_dsp_prologue 2f, 80
1:  ldrd r0, r1, [sp, #J_ACT]
    ldr r3, [sp, #J_BIAS]
    ldrd r11, r12, [r3]
    ldr r2, [sp, #J_S2]
    sub r11, r11, r2
    sub r12, r12, r2
    lsl r12, r12, #4
    ldr lr, [sp, #J_FINAL]
    ldr r2, [sp, #J_ENTRY]
    bx r2
    .p2align 2
2:  .rept 4
    fewbit_dsp_vector_step_int4
    .endr
    cmp r0, lr
    bne.w 2b
    str r1, [sp, #J_WEIGHTS]
    ldrd r0, r1, [sp, #J_BIAS]
    ldrd r2, r3, [r1], #8
    adds r0, #8
    strd r0, r1, [sp, #J_BIAS]
    asr r12, r12, #4
    fewbit_dsp_vector_tail 1b
    .size fewbit_dsp_vector_int4, . - fewbit_dsp_vector_int4
