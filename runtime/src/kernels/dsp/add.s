@ Sum of two tensors.
@
@ void fewbit_dsp_add(const Sum *sum): `Sum` of add.rs: output, a, b, words, (a multiplier, b multiplier), offset, shift.
@ 26 instructions and 2 of the loop for 4 elements.
@ Registers: r0 output, r1 a, r2 b, r3 words left, r4 multipliers, r5 offset, r6 shift, r7-r12 and lr work.
    .syntax unified
    .thumb
    .section .text.fewbit_dsp_add,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_add
    .type fewbit_dsp_add,%function
    .thumb_func
fewbit_dsp_add:
    push {{r4-r11, lr}}
    ldm r0, {{r0-r6}}
1:  ldr r7, [r1], #4
    ldr r8, [r2], #4
    sxtb16 r9, r7
    sxtb16 r10, r8
    sxtb16 r11, r7, ror #8
    sxtb16 r12, r8, ror #8
    pkhbt r7, r9, r10, lsl #16
    pkhtb r8, r10, r9, asr #16
    pkhbt r9, r11, r12, lsl #16
    pkhtb r10, r12, r11, asr #16
    smlad r7, r7, r4, r5
    smlad r8, r8, r4, r5
    smlad r9, r9, r4, r5
    smlad r10, r10, r4, r5
    asr r7, r7, r6
    asr r8, r8, r6
    asr r9, r9, r6
    asr r10, r10, r6
    ssat r7, #8, r7
    ssat r8, #8, r8
    ssat r9, #8, r9
    ssat r10, #8, r10
    bfi r7, r9, #8, #8
    bfi r8, r10, #8, #8
    bfi r7, r8, #16, #16
    str r7, [r0], #4
    subs r3, r3, #1
    bne 1b
    pop {{r4-r11, pc}}
    .size fewbit_dsp_add, . - fewbit_dsp_add
