@ Four pixels times pairs of output channels.
@
@ void fewbit_dsp_multiply_int8(const Job *job), and _int4. Job is `Job` of multiply.rs: 24 words, copied to the stack.
@ Activations are pairs of int16, one word a pixel, four pixels after each other: for the products 4q..4q+4 of each pixel first
@ (4q, 4q + 2), then (4q + 1, 4q + 3).
@
@ int8: a word of weights holds two halfwords 256 * w1 + w0, for the same two products. smlad with the whole word sums
@ 256 * w1 + w0, smlad with sxtb16 of it sums w0; the difference is 256 times the second channel's sum.
@ 24 instructions for 32 MAC (0.75), 3 a turn of 8 such steps (0.01), about 59 a pair of channels.
@
@ int4: a word of weights holds w + 8 as nibbles, [c0 c1] of k0, k1, k2, k3 from the lowest byte up. Masking leaves pairs, those
@ of the second channel times 16. 28 instructions for 32 MAC (0.875). What is 8 too much times the activations is taken off at the start:
@ 8 * sum(x) of each pixel lies in the four words before the activations.
@
@ Registers in the loop: r0 activations, r1 weights, r2 first channel's pair, r3 the word, r12 and lr activations,
@ r4-r7 first channel (pixels 0 to 3), r8-r11 second channel.
    .syntax unified
    .thumb

    .equ J_ACT, 0
    .equ J_WEIGHTS, 4
    .equ J_BIAS, 8
    .equ J_MULTIPLIERS, 12
    .equ J_OUT, 16
    .equ J_S2, 24
    .equ J_ZERO_POINT, 32
    .equ J_ENTRY, 36
    .equ J_END, 40
    .equ J_FINAL, 44
    .equ J_OUT_END, 48
    .equ J_GENERAL, 52
    .equ J_SHIFT, 56
    .equ J_LIMITS, 60
    .equ J_LIMITS_STEP, 64
    .equ J_PARTIAL, 68
    .equ J_FIRST_END, 84

    .macro fewbit_dsp_prologue first, bytes
    push {{r4-r11, lr}}
    sub sp, sp, #96
    mov r1, sp
    ldm r0!, {{r2-r9}}
    stm r1!, {{r2-r9}}
    ldm r0!, {{r2-r9}}
    stm r1!, {{r2-r9}}
    ldm r0!, {{r2-r9}}
    stm r1!, {{r2-r9}}
    @ J_ENTRY holds the number of steps to leave out of the first turn; it becomes an address.
    ldr r2, [sp, #J_ENTRY]
    mov r3, #\bytes
    mul r2, r2, r3
    adr.w r3, \first
    add r2, r2, r3
    orr r2, r2, #1
    str r2, [sp, #J_ENTRY]
    .endm

    .macro fewbit_dsp_half_step_int8
    ldr.w r3, [r1], #4
    sxtb16 r2, r3
    ldrd r12, lr, [r0], #8
    smlad r4, r2, r12, r4
    smlad r8, r3, r12, r8
    smlad r5, r2, lr, r5
    smlad r9, r3, lr, r9
    ldrd r12, lr, [r0], #8
    smlad r6, r2, r12, r6
    smlad r10, r3, r12, r10
    smlad r7, r2, lr, r7
    smlad r11, r3, lr, r11
    .endm

    .macro fewbit_dsp_step_int4
    ldr.w r3, [r1], #4
    and r2, r3, #0x000f000f
    and lr, r3, #0x00f000f0
    ldr.w r12, [r0], #4
    smlad r4, r2, r12, r4
    smlad r8, lr, r12, r8
    ldr.w r12, [r0], #4
    smlad r5, r2, r12, r5
    smlad r9, lr, r12, r9
    ldr.w r12, [r0], #4
    smlad r6, r2, r12, r6
    smlad r10, lr, r12, r10
    ldr.w r12, [r0], #4
    smlad r7, r2, r12, r7
    smlad r11, lr, r12, r11
    lsr.w r3, r3, #8
    and r2, r3, #0x000f000f
    and r3, r3, #0x00f000f0
    ldrd r12, lr, [r0], #8
    smlad r4, r2, r12, r4
    smlad r8, r3, r12, r8
    smlad r5, r2, lr, r5
    smlad r9, r3, lr, r9
    ldrd r12, lr, [r0], #8
    smlad r6, r2, r12, r6
    smlad r10, r3, r12, r10
    smlad r7, r2, lr, r7
    smlad r11, r3, lr, r11
    .endm

    @ r2, r3 = the pair's multipliers; r12 = the second bias; lr = zero point; both pointers move on. Keeps r4-r11.
    .macro fewbit_dsp_pair_parameters
    str r1, [sp, #J_WEIGHTS]
    ldrd r0, r1, [sp, #J_BIAS]
    ldrd r2, r3, [r1], #8
    ldr r12, [r0, #4]
    adds r0, #8
    strd r0, r1, [sp, #J_BIAS]
    ldr lr, [sp, #J_ZERO_POINT]
    .endm

    .macro fewbit_dsp_requantize
    smmlar r4, r4, r2, lr
    smmlar r5, r5, r2, lr
    smmlar r6, r6, r2, lr
    smmlar r7, r7, r2, lr
    smmlar r8, r8, r3, lr
    smmlar r9, r9, r3, lr
    smmlar r10, r10, r3, lr
    smmlar r11, r11, r3, lr
    .endm

    .macro fewbit_dsp_saturate
    ssat r4, #8, r4
    ssat r5, #8, r5
    ssat r6, #8, r6
    ssat r7, #8, r7
    ssat r8, #8, r8
    ssat r9, #8, r9
    ssat r10, #8, r10
    ssat r11, #8, r11
    .endm

    @ Pixel 0 last: pixels that do not exist have its place, or that of the last that exists before it.
    .macro fewbit_dsp_store head
    ldrd r0, r1, [sp, #J_OUT]
    ldrd r2, r3, [sp, #J_S2]
    strb r7, [r0, r3]
    strb r6, [r0, r2]
    strb r5, [r0, r1]
    strb r4, [r0], #1
    strb r11, [r0, r3]
    strb r10, [r0, r2]
    strb r9, [r0, r1]
    strb r8, [r0], #1
    str r0, [sp, #J_OUT]
    ldr r1, [sp, #J_OUT_END]
    cmp r0, r1
    bne \head
    .endm

    .macro fewbit_dsp_limit value
    cmp \value, r2
    it lt
    movlt \value, r2
    cmp \value, r3
    it gt
    movgt \value, r3
    .endm

    @ r2, r3 = the next channel's limits.
    .macro fewbit_dsp_next_limits
    ldr r0, [sp, #J_LIMITS]
    ldrsb r2, [r0]
    ldrsb r3, [r0, #1]
    ldr r1, [sp, #J_LIMITS_STEP]
    add r0, r0, r1
    str r0, [sp, #J_LIMITS]
    .endm

    @ The output stage with a pre-shift and any limits; sums of the second channel without bias in r8-r11.
    .macro fewbit_dsp_general store
    fewbit_dsp_pair_parameters
    add r8, r8, r12
    add r9, r9, r12
    add r10, r10, r12
    add r11, r11, r12
    fewbit_dsp_shift
    fewbit_dsp_limits \store
    .endm

    .macro fewbit_dsp_shift
    ldr r0, [sp, #J_SHIFT]
    lsl r4, r4, r0
    lsl r5, r5, r0
    lsl r6, r6, r0
    lsl r7, r7, r0
    lsl r8, r8, r0
    lsl r9, r9, r0
    lsl r10, r10, r0
    lsl r11, r11, r0
    .endm

    .macro fewbit_dsp_limits store
    fewbit_dsp_requantize
    fewbit_dsp_next_limits
    fewbit_dsp_limit r4
    fewbit_dsp_limit r5
    fewbit_dsp_limit r6
    fewbit_dsp_limit r7
    fewbit_dsp_next_limits
    fewbit_dsp_limit r8
    fewbit_dsp_limit r9
    fewbit_dsp_limit r10
    fewbit_dsp_limit r11
    b.w \store
    .endm

    .macro fewbit_dsp_chunk sum, first, partial
    sub \sum, \sum, \first
    ldr r2, [sp, #\partial]
    add r2, r2, \sum, asr #8
    str r2, [sp, #\partial]
    mov \sum, \first
    .endm

    .macro fewbit_dsp_last_chunk sum, first, partial
    sub \sum, \sum, \first
    ldr r2, [sp, #\partial]
    add \sum, r2, \sum, asr #8
    str r3, [sp, #\partial]
    .endm

    .section .text.fewbit_dsp_multiply_int8,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_multiply_int8
    .type fewbit_dsp_multiply_int8,%function
    .thumb_func
fewbit_dsp_multiply_int8:
    fewbit_dsp_prologue 2f, 96
1:  ldrd r0, r1, [sp, #J_ACT]
    ldr r3, [sp, #J_BIAS]
    ldr r4, [r3]
    mov r5, r4
    mov r6, r4
    mov r7, r4
    mov r8, r4
    mov r9, r4
    mov r10, r4
    mov r11, r4
    ldr r2, [sp, #J_ENTRY]
    bx r2
    .p2align 2
2:  .rept 8
    fewbit_dsp_half_step_int8
    fewbit_dsp_half_step_int8
    .endr
    ldr r2, [sp, #J_END]
    cmp r0, r2
    bne.w 2b
    ldr r2, [sp, #J_GENERAL]
    cbz r2, 3f
    b.w 5f
3:  fewbit_dsp_pair_parameters
    sub r8, r8, r4
    add r8, r12, r8, asr #8
    sub r9, r9, r5
    add r9, r12, r9, asr #8
    sub r10, r10, r6
    add r10, r12, r10, asr #8
    sub r11, r11, r7
    add r11, r12, r11, asr #8
    fewbit_dsp_requantize
    fewbit_dsp_saturate
4:  fewbit_dsp_store 1b
    add sp, sp, #96
    pop {{r4-r11, pc}}
5:  ldr r2, [sp, #J_FINAL]
    cmp r0, r2
    beq 6f
    fewbit_dsp_chunk r8, r4, J_PARTIAL
    fewbit_dsp_chunk r9, r5, J_PARTIAL+4
    fewbit_dsp_chunk r10, r6, J_PARTIAL+8
    fewbit_dsp_chunk r11, r7, J_PARTIAL+12
    ldr r2, [sp, #J_END]
    add r2, r2, #4096
    str r2, [sp, #J_END]
    b.w 2b
6:  mov r3, #0
    fewbit_dsp_last_chunk r8, r4, J_PARTIAL
    fewbit_dsp_last_chunk r9, r5, J_PARTIAL+4
    fewbit_dsp_last_chunk r10, r6, J_PARTIAL+8
    fewbit_dsp_last_chunk r11, r7, J_PARTIAL+12
    ldr r2, [sp, #J_FIRST_END]
    str r2, [sp, #J_END]
    fewbit_dsp_general 4b
    .size fewbit_dsp_multiply_int8, . - fewbit_dsp_multiply_int8

    .section .text.fewbit_dsp_multiply_int4,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_multiply_int4
    .type fewbit_dsp_multiply_int4,%function
    .thumb_func
fewbit_dsp_multiply_int4:
    fewbit_dsp_prologue 2f, 112
1:  ldrd r0, r1, [sp, #J_ACT]
    ldr r3, [sp, #J_BIAS]
    ldrd r2, r3, [r3]
    ldm r0!, {{r4-r7}}
    lsl r3, r3, #4
    sub r8, r3, r4, lsl #4
    sub r9, r3, r5, lsl #4
    sub r10, r3, r6, lsl #4
    sub r11, r3, r7, lsl #4
    sub r4, r2, r4
    sub r5, r2, r5
    sub r6, r2, r6
    sub r7, r2, r7
    ldr r2, [sp, #J_ENTRY]
    bx r2
    .p2align 2
2:  .rept 4
    fewbit_dsp_step_int4
    .endr
    ldr r2, [sp, #J_END]
    cmp r0, r2
    bne.w 2b
    ldr r2, [sp, #J_GENERAL]
    cbz r2, 3f
    b.w 5f
3:  fewbit_dsp_pair_parameters
    asr r8, r8, #4
    asr r9, r9, #4
    asr r10, r10, #4
    asr r11, r11, #4
    fewbit_dsp_requantize
    fewbit_dsp_saturate
4:  fewbit_dsp_store 1b
    add sp, sp, #96
    pop {{r4-r11, pc}}
5:  fewbit_dsp_pair_parameters
    asr r8, r8, #4
    asr r9, r9, #4
    asr r10, r10, #4
    asr r11, r11, #4
    fewbit_dsp_shift
    fewbit_dsp_limits 4b
    .size fewbit_dsp_multiply_int4, . - fewbit_dsp_multiply_int4
