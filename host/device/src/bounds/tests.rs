//! Disassemblies of a few lines, good ones and ones that must be refused.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    graph::{Bounds, bounds},
    image::{Function, Image, Isa, listing, number, short},
};

/// A program of these functions, each a name and instructions of 4 bytes; they start at 0x100, one behind the other, and
/// the first is the entry. `words` are constants of its data.
fn program(isa: Isa, functions: &[(&str, &[&str])], words: &[u32]) -> Image {
    let mut text = String::new();
    let mut found = BTreeMap::new();
    let mut place = 0x100;
    for (name, lines) in functions {
        let start = place;
        for line in *lines {
            text += &format!("     {place:x}:      \t{line}\n");
            place += 4;
        }
        let name = (*name).to_owned();
        found.insert(start, Function { name, end: place });
    }
    text += &format!("     {place:x}:      \tnop\n");
    Image {
        isa,
        code: listing(&text).expect("a listing"),
        functions: found,
        entry: 0x100,
        handlers: BTreeSet::new(),
        memory: vec![(
            0x2000,
            words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        )],
        words: words.iter().copied().collect(),
    }
}

fn of(isa: Isa, functions: &[(&str, &[&str])], words: &[u32]) -> Bounds {
    bounds(&program(isa, functions, words), false, &|_| false)
}

fn arm(functions: &[(&str, &[&str])]) -> Bounds {
    of(Isa::Arm, functions, &[])
}

fn riscv(functions: &[(&str, &[&str])]) -> Bounds {
    of(Isa::Riscv, functions, &[])
}

/// Asserts that there is no bound, for a reason that contains these words.
fn refused(bounds: &Bounds, words: &str) {
    assert_eq!(bounds.stack_bytes, None, "{bounds:?}");
    let reasons = bounds.unbounded.join("\n");
    assert!(reasons.contains(words), "{bounds:?}");
}

#[test]
fn frames_add_up_over_the_deepest_way() {
    let bounds = arm(&[
        (
            "main",
            &[
                "push\t{r4, r5, r6, r7, lr}", // 20
                "add\tr7, sp, #12",
                "sub\tsp, #32", // 52
                "bl\t0x124 <shallow>           @ imm = #8",
                "str\tr0, [sp, #-8]!", // 60
                "bl\t0x130 <deep>",
                "ldr\tr0, [sp], #8",
                "add\tsp, #32",
                "pop\t{r4, r5, r6, r7, pc}",
            ],
        ),
        (
            "shallow",
            &["push.w\t{r4, r8, lr}", "nop", "pop.w\t{r4, r8, pc}"],
        ),
        (
            "deep",
            &[
                "push.w\t{r4-r11, lr}",      // 36
                "vpush\t{d8, d9}",           // 52
                "strd\tr0, r1, [sp, #-16]!", // 68
                "add\tsp, #16",
                "vpop\t{d8, d9}",
                "ldmia.w\tsp!, {r4, r5, r6, r7, r8, r9, r10, r11, pc}",
            ],
        ),
    ]);
    assert_eq!(bounds.stack_bytes, Some(60 + 68), "{bounds:?}");
    assert_eq!(bounds.functions, 3);
    assert!(bounds.recursion.is_empty() && bounds.panics.is_empty());
    let names: Vec<&str> = bounds.deepest.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["main", "deep"]);
}

#[test]
fn a_jump_to_another_function_is_a_call_from_behind_the_frame() {
    let bounds = arm(&[
        (
            "main",
            &["push\t{r7, lr}", "pop.w\t{r7, lr}", "b.w\t0x10c <last>"],
        ),
        ("last", &["sub\tsp, #100", "add\tsp, #100", "bx\tlr"]),
    ]);
    assert_eq!(bounds.stack_bytes, Some(100), "{bounds:?}");
    assert_eq!(bounds.functions, 2);
}

#[test]
fn a_panic_behind_a_jump_is_found() {
    let functions: [(&str, &[&str]); 3] = [
        (
            "main",
            &["push\t{r7, lr}", "bl\t0x10c <helper>", "pop\t{r7, pc}"],
        ),
        (
            "helper",
            &[
                "cbz\tr0, 0x114 <helper+8>",
                "bx\tlr",
                "b.w\t0x118 <_ZN4core9panicking5panic17h2b4f2f6f0f4f0c39E>",
            ],
        ),
        (
            "_ZN4core9panicking5panic17h2b4f2f6f0f4f0c39E",
            &["b\t0x118"],
        ),
    ];
    let bounds = arm(&functions);
    assert_eq!(bounds.panics.len(), 1, "{bounds:?}");
    // Linked and not reached is another matter.
    let away = arm(&[
        functions[0],
        ("helper", &["bx\tlr", "nop", "nop"]),
        functions[2],
    ]);
    assert!(away.panics.is_empty(), "{away:?}");
    // What ends the program is not followed, where that is asked for.
    let image = program(
        Isa::Arm,
        &[
            functions[0],
            functions[1],
            (functions[2].0, &["sub\tsp, r0"]),
        ],
        &[],
    );
    let until = bounds_until_a_panic(&image);
    assert_eq!(until.stack_bytes, Some(8), "{until:?}");
}

fn bounds_until_a_panic(image: &Image) -> Bounds {
    bounds(image, false, &crate::elf::can_panic)
}

#[test]
fn recursion_is_found_by_calls_and_by_jumps() {
    let itself = arm(&[("main", &["push\t{r7, lr}", "bl\t0x100", "pop\t{r7, pc}"])]);
    assert_eq!(itself.recursion, [["main"]], "{itself:?}");
    let by_jump = arm(&[
        ("main", &["push\t{r7, lr}", "bl\t0x10c", "pop\t{r7, pc}"]),
        ("a", &["push\t{r4, lr}", "bl\t0x118", "pop\t{r4, pc}"]),
        ("b", &["b.w\t0x10c"]),
    ]);
    assert_eq!(by_jump.recursion, [["a", "b"]], "{by_jump:?}");
    assert_eq!(by_jump.stack_bytes, None);
    // A loop that starts with the function is none.
    let looped = arm(&[("main", &["subs\tr0, #1", "bne\t0x100", "bx\tlr"])]);
    assert_eq!(looped.stack_bytes, Some(0), "{looped:?}");
}

#[test]
fn a_pointer_goes_to_every_function_whose_address_is_taken() {
    let main: &[&str] = &[
        "push\t{r7, lr}",
        "ldr\tr3, [r0]",
        "blx\tr3",
        "pop\t{r7, pc}",
    ];
    let deep: &[&str] = &[
        "push\t{r0, r1, r2, r3, r4, lr}",
        "pop\t{r0, r1, r2, r3, r4, pc}",
    ];
    let none = arm(&[("main", main), ("deep", deep)]);
    assert_eq!((none.stack_bytes, none.functions), (Some(8), 1));
    assert_eq!(none.indirect.len(), 1);
    // The address of Thumb code has the lowest bit set; without it the word is a number.
    let taken = of(Isa::Arm, &[("main", main), ("deep", deep)], &[0x111]);
    assert_eq!(taken.stack_bytes, Some(8 + 24), "{taken:?}");
    assert_eq!(taken.indirect[0].targets, ["deep"]);
    let number = of(Isa::Arm, &[("main", main), ("deep", deep)], &[0x110]);
    assert_eq!(number.stack_bytes, Some(8), "{number:?}");
    // A pointer back to the function itself is recursion.
    let back: &[&str] = &["push\t{r4, lr}", "blx\tr0", "pop\t{r4, pc}"];
    let circle = of(Isa::Arm, &[("main", main), ("back", back)], &[0x111]);
    assert_eq!(circle.recursion, [["back"]], "{circle:?}");
    assert_eq!(circle.stack_bytes, None);
    // Made by the code itself, and called at once: known.
    let made = arm(&[
        (
            "main",
            &[
                "push\t{r7, lr}",
                "movw\tr5, #0x119",
                "movt\tr5, #0",
                "mov\tr1, r0",
                "blx\tr5",
                "pop\t{r7, pc}",
            ],
        ),
        ("deep", deep),
    ]);
    assert_eq!(made.stack_bytes, Some(32), "{made:?}");
    assert!(made.indirect.is_empty(), "{made:?}");
}

#[test]
fn frames_without_a_size_are_refused() {
    let of_main = |lines: &[&str]| arm(&[("main", lines)]);
    for (lines, words) in [
        (&["sub.w\tsp, sp, r0", "bx\tlr"][..], "moves the stack"),
        (&["mov\tsp, r0", "bx\tlr"], "not known"),
        (&["msr\tmsp, r0", "bx\tlr"], "changes the stack"),
        (&["ldr.w\tsp, [r0]", "bx\tlr"], "moves the stack"),
        (&["str\tr0, [sp, -r1]!", "bx\tlr"], "moves the stack"),
        (&["addne\tsp, #8", "bx\tlr"], "on a condition"),
        (
            &[
                "push\t{r4, lr}",
                "subs\tsp, #8",
                "addne\tsp, #8",
                "popeq\t{r4, pc}",
            ],
            "another condition",
        ),
        (&["addne\tsp, sp, r0", "bx\tlr"], "moves the stack"),
        (&["stm\tsp!, {r0, r1}", "bx\tlr"], "stack pointer"),
        (
            &["push\t{r0}", "subs\tr1, #1", "bne\t0x100", "bx\tlr"],
            "no fixed size",
        ),
        (
            &["cbz\tr0, 0x108", "push\t{r1}", "nop", "bx\tlr"],
            "no fixed size",
        ),
        (&["<unknown>"], "not know"),
    ] {
        refused(&of_main(lines), words);
    }
}

#[test]
fn stack_pointers_kept_in_registers_are_followed() {
    // As the compiler aligns a frame: at most 12 more bytes, and the frame pointer brings it back.
    let aligned = arm(&[(
        "main",
        &[
            "push\t{r4, r6, r7, lr}",
            "add\tr7, sp, #8",
            "sub.w\tsp, sp, #200",
            "mov\tr4, sp",
            "bfc\tr4, #0, #4",
            "mov\tsp, r4",
            "sub.w\tr4, r7, #8",
            "mov\tsp, r4",
            "pop\t{r4, r6, r7, pc}",
        ],
    )]);
    assert_eq!(aligned.stack_bytes, Some(16 + 200 + 12), "{aligned:?}");
    // A call may change r0 to r3: what it returns is not where the stack was.
    let lost = arm(&[
        (
            "main",
            &[
                "push\t{r4, lr}",
                "mov\tr0, sp",
                "bl\t0x114",
                "mov\tsp, r0",
                "pop\t{r4, pc}",
            ],
        ),
        ("leaf", &["bx\tlr"]),
    ]);
    refused(&lost, "not known");
    // A large frame: its size is a constant beside the code, which the image holds at 0x2000.
    let mut image = program(
        Isa::Arm,
        &[("main", &["ldr\tr6, [pc, #7932]", "add\tsp, r6", "b\t0x108"])],
        &[(-1000_i32).cast_unsigned()],
    );
    assert_eq!(bounds_until_a_panic(&image).stack_bytes, Some(1000));
    image.memory.clear();
    refused(&bounds_until_a_panic(&image), "moves the stack");
}

#[test]
fn what_is_behind_a_call_without_return_is_not_followed() {
    let bounds = arm(&[
        ("main", &["push\t{r7, lr}", "bl\t0x10c", "sub\tsp, r0"]),
        ("for_ever", &["b\t0x10c"]),
    ]);
    assert_eq!(bounds.stack_bytes, Some(8), "{bounds:?}");
}

#[test]
fn conditional_returns_and_tables_keep_their_depth() {
    let bounds = arm(&[(
        "main",
        &[
            "push\t{r4, lr}",
            "popeq\t{r4, pc}",
            "sub\tsp, #16",
            "addne\tsp, #16",
            "popne\t{r4, pc}",
            "add\tsp, #16",
            "tbb\t[pc, r0]",
            "sub\tsp, #40",
            "add\tsp, #40",
            "pop\t{r4, pc}",
        ],
    )]);
    assert_eq!(bounds.stack_bytes, Some(48), "{bounds:?}");
    assert_eq!(bounds.indirect[0].kind, "table");
}

#[test]
fn a_callee_that_moves_the_stack_counts() {
    // Code that the compiler has cut out of several functions may hold a part of their frames.
    let bounds = arm(&[
        (
            "main",
            &["mov\tr2, lr", "bl\t0x110", "add\tsp, #24", "bx\tr2"],
        ),
        ("OUTLINED_FUNCTION_0", &["sub\tsp, #24", "bx\tlr"]),
    ]);
    assert_eq!(bounds.stack_bytes, Some(24), "{bounds:?}");
}

#[test]
fn frames_of_riscv_add_up() {
    let bounds = riscv(&[
        (
            "main",
            &[
                "c.addi16sp\tsp, -48",
                "c.swsp\tra, 44(sp)",
                "auipc\tra, 0",
                "jalr\tra, 20(ra)",
                "c.lwsp\tra, 44(sp)",
                "c.addi16sp\tsp, 48",
                "c.jr\tra",
            ],
        ),
        (
            "large",
            &[
                "lui\tt0, 1048575", // -4096
                "addi\tt0, t0, 96",
                "add\tsp, sp, t0",
                "lui\tt0, 1",
                "addi\tt0, t0, -96",
                "add\tsp, sp, t0",
                "jalr\tzero, 0(ra)",
            ],
        ),
    ]);
    // `jalr` is relative to the `auipc` at 0x108, and 20 bytes on is `large`.
    assert_eq!(bounds.functions, 2, "{bounds:?}");
    assert_eq!(bounds.stack_bytes, Some(48 + 4000), "{bounds:?}");
    let variable = riscv(&[("main", &["sub\tsp, sp, a0", "c.jr\tra"])]);
    refused(&variable, "moves the stack");
    let placed = riscv(&[("main", &["lui\tsp, 524288", "c.jr\tra"])]);
    refused(&placed, "places the stack anew");
    let itself = riscv(&[(
        "main",
        &["addi\tsp, sp, -16", "jal\tra, 0x100 <main>", "c.jr\tra"],
    )]);
    assert_eq!(itself.recursion, [["main"]]);
}

#[test]
fn jump_tables_of_riscv_are_read() {
    let lines: &[&str] = &[
        "c.addi\tsp, -16",
        "lui\ta1, 2",
        "c.add\ta0, a1",
        "c.lw\ta0, 0(a0)",
        "c.jr\ta0",
        "c.addi\tsp, -32", // 0x114
        "c.addi16sp\tsp, 48",
        "c.jr\tra",
        "c.addi16sp\tsp, 16", // 0x120
        "jal\tzero, 0x12c <_ZN4core9panicking5panic17h2b4f2f6f0f4f0c39E>",
        "sub\tsp, sp, a0", // in no table
    ];
    let panic: &[&str] = &["c.j\t0x12c"];
    let functions = [
        ("main", lines),
        ("_ZN4core9panicking5panic17h2b4f2f6f0f4f0c39E", panic),
    ];
    let bounds = of(Isa::Riscv, &functions, &[0x114, 0x120]);
    assert_eq!(bounds.stack_bytes, Some(48), "{bounds:?}");
    assert_eq!(bounds.indirect[0].kind, "table");
    assert_eq!(bounds.panics.len(), 1);
    // Where the table is not there, it may go anywhere.
    let away = riscv(&functions);
    assert_eq!(away.indirect[0].kind, "jump", "{away:?}");
    refused(&away, "moves the stack");
}

#[test]
fn jump_tables_of_the_cortex_m0_are_read() {
    let lines: &[&str] = &[
        "push\t{r4, lr}",
        "adr\tr1, #7928", // 0x2000
        "ldr\tr0, [r1, r0]",
        "mov\tpc, r0",
        "sub\tsp, #0x20", // 0x110
        "add\tsp, #0x20",
        "pop\t{r4, pc}",
        "sub\tsp, r0", // in no table
    ];
    let bounds = of(Isa::Arm, &[("main", lines)], &[0x111, 0x119]);
    assert_eq!(bounds.stack_bytes, Some(40), "{bounds:?}");
    assert_eq!(bounds.indirect[0].kind, "table");
    let away = of(Isa::Arm, &[("main", lines)], &[]);
    refused(&away, "moves the stack");
}

#[test]
fn a_far_branch_that_is_written_like_a_call_is_a_branch() {
    let bounds = arm(&[(
        "main",
        &[
            "push\t{r4, lr}",
            "bl\t0x10c",
            "sub\tsp, r0",
            "pop\t{r4, pc}",
        ],
    )]);
    assert_eq!(bounds.stack_bytes, Some(8), "{bounds:?}");
    assert!(bounds.recursion.is_empty());
}

#[test]
fn disassemblies_are_read_in_the_forms_of_several_versions() {
    let text = "\nf.elf:\tfile format elf32-littlearm\n\nDisassembly of section .text:\n\n00000400 <__stext>:\n\
         \x20    400:      \tbl\t0x745a <__pre_init>     @ imm = #28758\n\
         \x20    404: f04f 0170    \tmov.w\tr1, #15728640\n\
         \x20    408:      \tle\tlr, #-12\n\n00000440 <$d>:\n\
         \x20    40c:\t00 00 00 20\t.word\t0x20000000\n\
         \x20    410:      \t<unknown>\n";
    let text = text.replace(": f04f 0170    ", ":      ");
    let code = listing(&text).expect("a listing");
    assert_eq!(
        code.keys().copied().collect::<Vec<_>>(),
        [0x400, 0x404, 0x408, 0x410]
    );
    assert_eq!((&*code[&0x404].name, code[&0x404].length), ("mov", 4));
    assert_eq!(code[&0x400].operands, "0x745a");
    assert_eq!(code[&0x410].name, "<unknown>");
    assert!(listing("no code").is_err());
    for (word, value) in [("12", 12), ("-12", -12), ("0x1c", 28), ("-0x10", -16)] {
        assert_eq!(number(word), Some(value));
    }
    assert_eq!((number("r1"), number("")), (None, None));
}

#[test]
fn names_are_the_ends_of_paths() {
    assert_eq!(
        short("_ZN14fewbit_runtime6format5check7Checker4pool17h93a9cdb91aef17ffE"),
        "Checker::pool"
    );
    assert_eq!(
        short("_ZN14fewbit_runtime6format4read22Model$LT$_$C$_$C$_$GT$5check17h7af191c0a91385ebE"),
        "Model<_,_,_>::check"
    );
    assert_eq!(short("fewbit_dsp_add"), "fewbit_dsp_add");
}
