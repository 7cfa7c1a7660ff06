@ One pixel of a depthwise convolution, eight channels at a time, with the vector extension.
@
@ void fewbit_mve_depthwise(const Job *job): `Job` of depthwise.rs, 16 words. 10 instructions for 8 MAC, 33 for eight channels around them. Products
@ of even and odd channels are kept apart (VMULLB, VMULLT), as are their biases and multipliers (VLD2).
@ Registers: r0 job, r1 activations, r2 weights, r3 tap step of activations, r4 channels (tap step of weights), r5 r6 taps left,
@ r7 lines left, r8 line step of activations, r9 block's activations, r10 block's weights, r11 biases, r12 multipliers, lr outputs.
@ q0 q1 operands, q2 q3 sums, q4 zero points, q5 q6 limits.
    .syntax unified
    .thumb

    .macro fewbit_mve_output sums
    vshl.s32 \sums, r5
    vrmulh.s32 \sums, \sums, q0
    vadd.i32 \sums, \sums, q4
    vmax.s32 \sums, \sums, q5
    vmin.s32 \sums, \sums, q6
    .endm

    .section .text.fewbit_mve_depthwise,"ax",%progbits
    .p2align 2
    .global fewbit_mve_depthwise
    .type fewbit_mve_depthwise,%function
    .thumb_func
fewbit_mve_depthwise:
    push.w {{r4-r11, lr}}
    vpush {{d8-d15}}
    sub sp, sp, #8
    ldr r2, [r0, #40]
    vdup.32 q4, r2
    ldr r2, [r0, #44]
    vdup.32 q5, r2
    ldr r2, [r0, #48]
    vdup.32 q6, r2
    ldr r2, [r0, #56]
    str r2, [sp]
    ldrd r9, r10, [r0]
    ldrd r11, r12, [r0, #8]
    ldr lr, [r0, #16]
    ldrd r3, r8, [r0, #20]
    ldr r4, [r0, #28]
1:  mov r1, r9
    mov r2, r10
    vld20.32 {{q2, q3}}, [r11]
    vld21.32 {{q2, q3}}, [r11]!
    ldr r7, [r0, #32]
    ldr r6, [r0, #36]
2:  mov r5, r6
3:  vldrb.s16 q0, [r1]
    vldrb.s16 q1, [r2]
    add r1, r1, r3
    add r2, r2, r4
    vmullb.s16 q7, q0, q1
    vmullt.s16 q0, q0, q1
    vadd.i32 q2, q2, q7
    vadd.i32 q3, q3, q0
    subs r5, r5, #1
    bne 3b
    add r1, r1, r8
    subs r7, r7, #1
    bne 2b
    ldr r5, [r0, #52]
    vld20.32 {{q0, q1}}, [r12]
    vld21.32 {{q0, q1}}, [r12]!
    fewbit_mve_output q2
    vmov q0, q1
    fewbit_mve_output q3
    vmovnt.i32 q2, q3
    mov r5, lr
    vstrb.16 q2, [r5]
    add lr, lr, #8
    add r9, r9, #8
    add r10, r10, #8
    ldr r5, [sp]
    subs r5, r5, #1
    str r5, [sp]
    bne 1b
    add sp, sp, #8
    vpop {{d8-d15}}
    pop.w {{r4-r11, pc}}
    .size fewbit_mve_depthwise, . - fewbit_mve_depthwise
