@ A line of outputs of a 3x3 depthwise convolution, for up to four channels, over planar lines of int16.
@
@ void fewbit_dsp_depthwise3_stride1(const Job *job), and _stride2; _general with a pre-shift and any limits. Job is `Job` of
@ lines.rs: 20 words, copied to the stack.
@ stride 1: two outputs a turn: 3 ldrd, 12 multiplications for 18 MAC, 14 around them: 29 (1.6 a MAC with everything).
@ stride 2: 3 ldrd, 6 multiplications for 9 MAC, 9 around them: 18 (2.0). About 30 more a channel.
@ Registers: r0 r1 r2 lines, r3 output, r4-r9 weights (w0, w1), (w1, w2) of each line, r10 r11 sums, r12 lr activations.
    .syntax unified
    .thumb

    .equ L_OUT, 12
    .equ L_STEPS, 16
    .equ L_TURNS, 28
    .equ L_MULTIPLIER, 32
    .equ L_STRIDE, 40
    .equ L_ODD, 44
    .equ L_CHANNELS, 48
    .equ L_PARAMETERS, 52
    .equ L_BIAS, 56
    .equ L_END, 60
    .equ L_SHIFT, 64
    .equ L_LIMITS, 68

    .macro fewbit_dsp_lines_prologue
    push {{r4-r11, lr}}
    sub sp, sp, #80
    mov r1, sp
    ldm r0!, {{r2-r11}}
    stm r1!, {{r2-r11}}
    ldm r0!, {{r2-r11}}
    stm r1!, {{r2-r11}}
    .endm

    @ Loads a channel's parameters; r10 = r0's end.
    .macro fewbit_dsp_lines_channel
    ldr r12, [sp, #L_PARAMETERS]
    ldm r12!, {{r4-r9}}
    ldrd r10, r11, [r12], #8
    ldrd r0, r1, [r12], #8
    strd r0, r1, [sp, #L_LIMITS]
    str r12, [sp, #L_PARAMETERS]
    str r10, [sp, #L_BIAS]
    str r11, [sp, #L_MULTIPLIER]
    ldm.w sp, {{r0-r3}}
    ldr r10, [sp, #L_TURNS]
    add r10, r0, r10
    str r10, [sp, #L_END]
    .endm

    @ On to the next plane; a line of padding is the same for all.
    .macro fewbit_dsp_lines_next head
    ldm.w sp, {{r0-r3}}
    ldrd r4, r5, [sp, #L_STEPS]
    ldr r6, [sp, #L_STEPS+8]
    add r0, r0, r4
    add r1, r1, r5
    add r2, r2, r6
    add r3, r3, #1
    stm.w sp, {{r0-r3}}
    ldr r12, [sp, #L_CHANNELS]
    subs r12, r12, #1
    str r12, [sp, #L_CHANNELS]
    bne.w \head
    add sp, sp, #80
    pop {{r4-r11, pc}}
    .endm

    .macro fewbit_dsp_line1 line, first, second
    ldrd r12, lr, [\line], #4
    smlad r10, r12, \first, r10
    smlatb r10, \second, lr, r10
    smlabt r11, \first, r12, r11
    smlad r11, lr, \second, r11
    .endm

    .macro fewbit_dsp_line2 line, first, second
    ldrd r12, lr, [\line], #4
    smlad r10, r12, \first, r10
    smlatb r10, \second, lr, r10
    .endm

    @ Sums to outputs: a saturation to int8, or a pre-shift and two comparisons.
    .macro fewbit_dsp_lines_output general, first, second
    .if \general
    ldr r12, [sp, #L_SHIFT]
    lsl \first, \first, r12
    .ifnb \second
    lsl \second, \second, r12
    .endif
    .endif
    ldrd r12, lr, [sp, #L_MULTIPLIER]
    smmlar \first, \first, r12, lr
    .ifnb \second
    smmlar \second, \second, r12, lr
    .endif
    .if \general
    ldrd r12, lr, [sp, #L_LIMITS]
    fewbit_dsp_lines_limit \first
    .ifnb \second
    fewbit_dsp_lines_limit \second
    .endif
    .else
    ssat \first, #8, \first
    .ifnb \second
    ssat \second, #8, \second
    .endif
    .endif
    .endm

    .macro fewbit_dsp_lines_limit value
    cmp \value, r12
    it lt
    movlt \value, r12
    cmp \value, lr
    it gt
    movgt \value, lr
    .endm

    .macro fewbit_dsp_depthwise3_stride1 name, general
    .section .text.\name,"ax",%progbits
    .p2align 2
    .global \name
    .type \name,%function
    .thumb_func
\name:
    fewbit_dsp_lines_prologue
1:  fewbit_dsp_lines_channel
    cmp r0, r10
    beq.w 3f
2:  ldr r10, [sp, #L_BIAS]
    mov r11, r10
    fewbit_dsp_line1 r0, r4, r5
    fewbit_dsp_line1 r1, r6, r7
    fewbit_dsp_line1 r2, r8, r9
    fewbit_dsp_lines_output \general, r10, r11
    ldr r12, [sp, #L_STRIDE]
    strb r10, [r3]
    strb r11, [r3, r12]
    add r3, r3, r12, lsl #1
    ldr r12, [sp, #L_END]
    cmp r0, r12
    bne.w 2b
3:  ldr r12, [sp, #L_ODD]
    cmp r12, #0
    beq.w 4f
    ldr r10, [sp, #L_BIAS]
    fewbit_dsp_line2 r0, r4, r5
    fewbit_dsp_line2 r1, r6, r7
    fewbit_dsp_line2 r2, r8, r9
    fewbit_dsp_lines_output \general, r10
    strb r10, [r3]
4:  fewbit_dsp_lines_next 1b
    .size \name, . - \name
    .endm

    .macro fewbit_dsp_depthwise3_stride2 name, general
    .section .text.\name,"ax",%progbits
    .p2align 2
    .global \name
    .type \name,%function
    .thumb_func
\name:
    fewbit_dsp_lines_prologue
1:  fewbit_dsp_lines_channel
    mov r11, r10
2:  ldr r10, [sp, #L_BIAS]
    fewbit_dsp_line2 r0, r4, r5
    fewbit_dsp_line2 r1, r6, r7
    fewbit_dsp_line2 r2, r8, r9
    fewbit_dsp_lines_output \general, r10
    ldr r12, [sp, #L_STRIDE]
    strb r10, [r3]
    add r3, r3, r12
    cmp r0, r11
    bne.w 2b
    fewbit_dsp_lines_next 1b
    .size \name, . - \name
    .endm

    fewbit_dsp_depthwise3_stride1 fewbit_dsp_depthwise3_stride1_int8, 0
    fewbit_dsp_depthwise3_stride1 fewbit_dsp_depthwise3_stride1_general, 1
    fewbit_dsp_depthwise3_stride2 fewbit_dsp_depthwise3_stride2_int8, 0
    fewbit_dsp_depthwise3_stride2 fewbit_dsp_depthwise3_stride2_general, 1

@ void fewbit_dsp_planes(i8 *to, usize plane, const i8 *from, usize stride, usize pixels, usize odd)
@ Pixels of four channels into the lines of four planes, `plane` bytes apart; two pixels a turn: 17 instructions for 8 elements. `odd`: the
@ first place is in the middle of a word.
@ Registers: r0 from, r1 stride, r2 pixels left, r3-r6 to, r7 r8 pixels, r9-r12 pairs.
    .macro fewbit_dsp_planes_one
    ldr r7, [r0]
    add r0, r0, r1
    sxtb16 r9, r7
    sxtb16 r10, r7, ror #8
    strh r9, [r3], #2
    strh r10, [r4], #2
    lsr r9, r9, #16
    lsr r10, r10, #16
    strh r9, [r5], #2
    strh r10, [r6], #2
    .endm

    .section .text.fewbit_dsp_planes,"ax",%progbits
    .p2align 2
    .global fewbit_dsp_planes
    .type fewbit_dsp_planes,%function
    .thumb_func
fewbit_dsp_planes:
    push {{r4-r11, lr}}
    mov r8, r3
    mov r3, r0
    add r4, r0, r1
    add r5, r4, r1
    add r6, r5, r1
    mov r0, r2
    mov r1, r8
    ldrd r2, r7, [sp, #36]
    cbz r7, 1f
    fewbit_dsp_planes_one
    subs r2, r2, #1
1:  subs r2, r2, #2
    blt 3f
2:  ldr r8, [r0, r1]
    ldr r7, [r0]
    add r0, r0, r1, lsl #1
    sxtb16 r9, r7
    sxtb16 r10, r7, ror #8
    sxtb16 r11, r8
    sxtb16 r12, r8, ror #8
    pkhbt r7, r9, r11, lsl #16
    str r7, [r3], #4
    pkhtb r7, r11, r9, asr #16
    str r7, [r5], #4
    pkhbt r7, r10, r12, lsl #16
    str r7, [r4], #4
    pkhtb r7, r12, r10, asr #16
    str r7, [r6], #4
    subs r2, r2, #2
    bge 2b
3:  adds r2, r2, #2
    beq 4f
    fewbit_dsp_planes_one
4:  pop {{r4-r11, pc}}
    .size fewbit_dsp_planes, . - fewbit_dsp_planes
