@ One window of activations times rows of int8 weights, four output channels at a time, with the vector extension.
@
@ void fewbit_mve_rows(const Job *job): `Job` of rows.rs, 12 words. A tail-predicated loop: 10 instructions for 64 MAC (0.16), and 26 for four
@ channels around it. VRMULH is equation (3): a rounding high multiplication.
@ Registers: r0 job, r1 activations, r3 r5 r7 r9 rows, r4 r6 r8 r10 sums, r11 length, r12 blocks left, lr loop counter,
@ r2 for everything else. q0 q1 operands, q4 zero points, q5 q6 limits.
    .syntax unified
    .thumb
    .section .text.fewbit_mve_rows,"ax",%progbits
    .p2align 2
    .global fewbit_mve_rows
    .type fewbit_mve_rows,%function
    .thumb_func
fewbit_mve_rows:
    push.w {{r4-r11, lr}}
    vpush {{d8-d13}}
    ldr r11, [r0, #20]
    ldr r12, [r0, #24]
    ldr r2, [r0, #28]
    vdup.32 q4, r2
    ldr r2, [r0, #32]
    vdup.32 q5, r2
    ldr r2, [r0, #36]
    vdup.32 q6, r2
    ldr r3, [r0, #4]
1:  ldr r1, [r0]
    add r5, r3, r11
    add r7, r5, r11
    add r9, r7, r11
    add r2, r9, r11
    str r2, [r0, #4]
    ldr r2, [r0, #8]
    ldr r4, [r2]
    ldr r6, [r2, #4]
    ldr r8, [r2, #8]
    ldr r10, [r2, #12]
    adds r2, #16
    str r2, [r0, #8]
    dlstp.8 lr, r11
2:  vldrb.u8 q0, [r1], #16
    vldrb.u8 q1, [r3], #16
    vmladava.s8 r4, q0, q1
    vldrb.u8 q1, [r5], #16
    vmladava.s8 r6, q0, q1
    vldrb.u8 q1, [r7], #16
    vmladava.s8 r8, q0, q1
    vldrb.u8 q1, [r9], #16
    vmladava.s8 r10, q0, q1
    letp lr, 2b
    vmov q0[2], q0[0], r4, r8
    vmov q0[3], q0[1], r6, r10
    ldr r2, [r0, #40]
    vshl.s32 q0, r2
    ldr r2, [r0, #12]
    vldrw.u32 q1, [r2], #16
    str r2, [r0, #12]
    vrmulh.s32 q0, q0, q1
    vadd.i32 q0, q0, q4
    vmax.s32 q0, q0, q5
    vmin.s32 q0, q0, q6
    ldr r2, [r0, #16]
    vstrb.32 q0, [r2], #4
    str r2, [r0, #16]
    ldr r3, [r0, #4]
    subs r12, r12, #1
    bne 1b
    vpop {{d8-d13}}
    pop.w {{r4-r11, pc}}
    .size fewbit_mve_rows, . - fewbit_mve_rows

@ void fewbit_mve_copy_lines(i8 *to, const i8 *from, usize lines, usize length, usize stride)
@ Registers: r0 to, r1 from, r2 lines left, r3 length, r4 stride, r5 r6 places.
    .section .text.fewbit_mve_copy_lines,"ax",%progbits
    .p2align 2
    .global fewbit_mve_copy_lines
    .type fewbit_mve_copy_lines,%function
    .thumb_func
fewbit_mve_copy_lines:
    push {{r4, r5, r6, lr}}
    ldr r4, [sp, #16]
1:  mov r5, r0
    mov r6, r1
    dlstp.8 lr, r3
2:  vldrb.u8 q0, [r6], #16
    vstrb.8 q0, [r5], #16
    letp lr, 2b
    add r0, r0, r3
    add r1, r1, r4
    subs r2, r2, #1
    bne 1b
    pop {{r4, r5, r6, pc}}
    .size fewbit_mve_copy_lines, . - fewbit_mve_copy_lines
