//! Effects of Thumb instructions on the stack and on known registers.

use anyhow::{Context as _, Result, bail};

use super::{
    image::{Image, Instruction, number},
    state::{Register, State, Value},
    step::Flow,
};

/// The stack pointer.
pub(crate) const STACK: Register = 13;
const LINK: Register = 14;
const PROGRAM: Register = 15;

/// Registers that a call may change.
const CHANGED_BY_CALLS: [Register; 6] = [0, 1, 2, 3, 12, LINK];

/// Conditions of instructions in an IT block and of branches.
const CONDITIONS: [&str; 16] = [
    "eq", "ne", "hs", "cs", "lo", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le",
];

/// Runs one instruction on a state.
///
/// # Errors
///
/// If it changes the stack pointer in an unknown way.
pub(crate) fn step(
    image: &Image,
    place: u32,
    instruction: &Instruction,
    state: &mut State,
) -> Result<Flow> {
    let text = instruction.operands.as_str();
    let operands = split(text);
    let first = operands.first().copied().unwrap_or_default();
    let target = |operand: &str| branch_target(place, operand);
    let (name, conditional) = without_condition(&instruction.name);
    let postponed = state.postponed();
    if postponed.is_some() && !(name == "pop" && conditional && text.contains("pc")) {
        bail!(
            "it changes the stack on a condition before `{} {text}`",
            instruction.name
        );
    }
    if let (true, "add", ["sp", amount]) = (conditional, name, &*operands)
        && let Some(amount) = immediate(amount)
    {
        state.postpone(condition(&instruction.name), amount);
        return Ok(Flow::Next);
    }
    let flow = match name {
        "b" => jump(target(first)?, conditional),
        "cbz" | "cbnz" | "le" | "letp" | "wls" | "wlstp" => {
            // The end of a loop counts in the link register.
            if let Some(register) = register(first) {
                state.set(register, Value::Unknown);
            }
            let last = operands.last().copied().unwrap_or_default();
            // A loop without a counter is for ever.
            jump(target(last)?, operands.len() > 1)
        }
        "bl" => call(state, Some(target(first)?)),
        "blx" => match register(first).map(|register| state.get(register)) {
            Some(Value::Constant(constant)) => {
                let mut flow = call(state, Some(constant & !1));
                if let (Flow::Call(_, at), Some(base)) = (&mut flow, register(first)) {
                    at.set(base, Value::Unknown);
                }
                flow
            }
            Some(_) => call(state, None),
            None => bail!("`blx {text}` leaves Thumb"),
        },
        "bx" => leave(state, register(first), conditional),
        "tbb" | "tbh" => Flow::Table,
        "push" | "vpush" | "vstmdb" | "stmdb" | "pop" | "vpop" | "vldmia" | "ldm" | "ldmia" => {
            let listed = list(text)?;
            let implied = matches!(name, "push" | "pop" | "vpush" | "vpop");
            let of_stack = implied || first.starts_with("sp!");
            let down = matches!(name, "push" | "vpush" | "vstmdb" | "stmdb");
            if of_stack && conditional && !(listed.contains(&PROGRAM)) {
                bail!(
                    "`{} {text}` changes the stack on a condition",
                    instruction.name
                );
            }
            let before = state.clone();
            if let Some((on, amount)) = postponed {
                if on != condition(&instruction.name) {
                    bail!("it changes the stack on another condition than it returns");
                }
                state.push(-amount);
            }
            if !down {
                for &register in &listed {
                    state.set(register, Value::Unknown);
                }
            }
            if of_stack {
                state.push(if down { bytes(text)? } else { -bytes(text)? });
            } else if let Some(base) = register(first.trim_end_matches('!'))
                && base != STACK
            {
                state.set(base, Value::Unknown);
            }
            if !down && listed.contains(&PROGRAM) {
                let returned = state.clone();
                if conditional {
                    *state = before;
                }
                return Ok(Flow::Return {
                    conditional,
                    state: Box::new(returned),
                });
            }
            Flow::Next
        }
        "udf" if !conditional => Flow::Stop,
        "<unknown>" => bail!("it holds an instruction that the disassembler does not know"),
        _ if register(first) == Some(PROGRAM) => into_program_counter(name, text, state)?,
        _ => {
            plain(image, place, name, conditional, &operands, text, state)?;
            Flow::Next
        }
    };
    Ok(flow)
}

/// An instruction that writes the program counter and is not a branch by name.
fn into_program_counter(name: &str, text: &str, state: &mut State) -> Result<Flow> {
    let operands = split(text);
    Ok(match name {
        // By a value of the code's own, relative to itself.
        "add" => Flow::Table,
        "mov" => leave(
            state,
            operands.get(1).and_then(|word| register(word)),
            false,
        ),
        "ldr" if text.contains("[sp]") => {
            let (_, offset) = text.split_once("],").context("it returns from within")?;
            state.push(-immediate(offset).context("it returns from within")?);
            Flow::Return {
                conditional: false,
                state: Box::new(state.clone()),
            }
        }
        "ldr" => Flow::Indirect,
        // Compared as a number.
        "cmp" | "tst" => Flow::Next,
        _ => bail!("`{name} {text}` writes the program counter"),
    })
}

/// An instruction that continues with the next one.
fn plain(
    image: &Image,
    place: u32,
    name: &str,
    conditional: bool,
    operands: &[&str],
    text: &str,
    state: &mut State,
) -> Result<()> {
    let first = operands.first().copied().unwrap_or_default();
    let destination = register(first);
    let written = value(image, place, name, operands, state);
    if name == "msr" && (first.contains("msp") || first.contains("psp")) {
        bail!("`msr {text}` changes the stack");
    }
    let stores = name.starts_with("st") || name.starts_with("vst");
    let compares = ["cmp", "cmn", "tst", "teq"].contains(&name);
    // A memory operand that changes its base.
    if let Some((inside, after)) = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
    {
        let base = split(inside).first().copied().and_then(register);
        let before = after.trim_start().starts_with('!');
        let behind = after.trim_start().starts_with(',');
        if let (Some(base), true) = (base, before || behind) {
            if base == STACK {
                let offset = if before {
                    inside.split_once(',').map(|(_, offset)| offset)
                } else {
                    after.split_once(',').map(|(_, offset)| offset)
                };
                let offset = offset.and_then(immediate);
                match offset {
                    Some(offset) if !conditional => state.push(-offset),
                    _ => bail!("`{name} {text}` moves the stack by an unknown amount"),
                }
            } else {
                state.set(base, Value::Unknown);
            }
        }
    }
    if stores {
        // A list of registers behind a base that goes on.
        if let Some(base) = first.strip_suffix('!') {
            kill(base, state)?;
        }
        // A status register of an exclusive store is the only one that is written.
        if name.starts_with("strex") || name.starts_with("stlex") {
            kill(first, state)?;
        }
        return Ok(());
    }
    if compares {
        return Ok(());
    }
    if destination == Some(STACK) {
        match written {
            Some(value) if !conditional => state.set(STACK, value),
            _ => bail!("`{name} {text}` moves the stack by an unknown amount"),
        }
        return Ok(());
    }
    if let (Some(value), Some(register), false) = (written, destination, conditional) {
        state.set(register, value);
        return Ok(());
    }
    // Whatever it names outside of an address may be written.
    let outside = text.split('[').next().unwrap_or_default();
    // The first operand is what most of them write; long products and loads write two, and some their operands.
    let base = operands.iter().skip(1).any(|word| word.contains('!'));
    if base && outside.contains("sp!") {
        bail!("`{name} {text}` moves the stack by an unknown amount");
    }
    for word in split(outside) {
        let word = word.trim_matches(['{', '}', '!', ' ']);
        if register(word) != Some(STACK) {
            kill(word, state)?;
        }
    }
    Ok(())
}

fn kill(word: &str, state: &mut State) -> Result<()> {
    match register(word) {
        Some(STACK) => bail!("it writes the stack pointer in a way that is not known"),
        Some(register) => state.set(register, Value::Unknown),
        None => {}
    }
    Ok(())
}

/// Value that an instruction writes into its first operand, if it is known.
fn value(image: &Image, place: u32, name: &str, operands: &[&str], state: &State) -> Option<Value> {
    let name = match name {
        "adds" | "addw" => "add",
        "subs" | "subw" => "sub",
        "movs" | "movw" => "mov",
        other => other,
    };
    let first = register(operands.first()?)?;
    // `add r0, #1` and `add r0, r0, #1` are written alike.
    let (left, right) = match operands {
        [_, right] => (first, *right),
        [_, left, right] => (register(left).unwrap_or(PROGRAM), *right),
        _ => return None,
    };
    let of = |word: &str| {
        immediate(word).map_or_else(
            || {
                register(word)
                    .map(|register| state.get(register))
                    .and_then(constant)
            },
            Some,
        )
    };
    let behind = i64::from(place & !3) + 4;
    match (name, operands.len()) {
        ("add", _) => match of(right) {
            Some(constant) => Some(state.get(left).plus(constant)),
            // The constant may stand first.
            None => Some(state.get(register(right)?).plus(constant(state.get(left))?)),
        },
        ("sub", _) => Some(state.get(left).plus(-of(right)?)),
        ("mov", 2) => match immediate(right) {
            Some(number) => Some(Value::Constant(number as u32)),
            None => Some(state.get(register(right)?)),
        },
        ("movt", 2) => match state.get(first) {
            Value::Constant(low) => Some(Value::Constant(
                low & 0xFFFF | (immediate(right)? as u32) << 16,
            )),
            _ => None,
        },
        ("adr", 2) => Some(Value::Constant((behind + immediate(right)?) as u32)),
        ("bfc", 3) if immediate(operands.get(1)?)? == 0 => {
            let bits = u32::try_from(immediate(right)?).ok()?;
            Some(state.get(first).aligned(1_u32.checked_shl(bits)?))
        }
        ("ldr", 3) if operands.get(1)?.trim() == "[pc" => {
            let offset = immediate(right.trim_end_matches(']'))?;
            let word = image.word(u32::try_from(behind + offset).ok()?)?;
            Some(Value::Constant(word))
        }
        // The entry of a table of addresses.
        ("ldr", 3) if register(right.trim_end_matches(']')).is_some() => {
            match state.get(register(operands.get(1)?.strip_prefix('[')?)?) {
                Value::Constant(table) => Some(Value::OfTable(table)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn constant(value: Value) -> Option<i64> {
    match value {
        Value::Constant(constant) => Some(i64::from(constant.cast_signed())),
        _ => None,
    }
}

fn jump(target: u32, conditional: bool) -> Flow {
    if conditional {
        Flow::Branch(target)
    } else {
        Flow::Jump(target)
    }
}

fn call(state: &mut State, target: Option<u32>) -> Flow {
    let at = Box::new(state.clone());
    for register in CHANGED_BY_CALLS {
        state.set(register, Value::Unknown);
    }
    match target {
        Some(target) => Flow::Call(target, at),
        None => Flow::CallIndirect(at),
    }
}

/// `bx` and similar: a return if it uses the link register.
fn leave(state: &mut State, register: Option<Register>, conditional: bool) -> Flow {
    let value = register.map(|register| state.get(register));
    match (register, value) {
        (Some(register), Some(Value::Constant(target))) if !conditional => {
            state.set(register, Value::Unknown);
            Flow::Jump(target & !1)
        }
        (Some(_), Some(Value::OfTable(table))) if !conditional => Flow::Entries(table),
        (Some(LINK), _) => Flow::Return {
            conditional,
            state: Box::new(state.clone()),
        },
        _ => Flow::Indirect,
    }
}

/// A name without its condition, and whether it had one. Names that end like a condition are left whole.
fn without_condition(name: &str) -> (&str, bool) {
    const WHOLE: [&str; 13] = [
        "le", "wls", "dls", "teq", "movs", "adcs", "bics", "sbcs", "lsls", "muls", "mls", "smmls",
        "svc",
    ];
    if WHOLE.contains(&name) {
        return (name, false);
    }
    match name
        .len()
        .checked_sub(2)
        .and_then(|at| name.split_at_checked(at))
    {
        // `blt` and `ble` are branches, `bllt` would be a call.
        Some((stem, condition)) if CONDITIONS.contains(&condition) && !stem.is_empty() => {
            (stem, true)
        }
        _ => (name, false),
    }
}

/// The last two letters of a name.
fn condition(name: &str) -> [u8; 2] {
    name.as_bytes().last_chunk().copied().unwrap_or_default()
}

/// Operands between commas outside of braces; addresses in brackets are split too.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn register(word: &str) -> Option<Register> {
    match word.trim() {
        "sp" => Some(STACK),
        "lr" => Some(LINK),
        "pc" => Some(PROGRAM),
        other => {
            let number = other.strip_prefix('r')?.parse().ok()?;
            (number < STACK).then_some(number)
        }
    }
}

fn immediate(word: &str) -> Option<i64> {
    number(word.trim().strip_prefix('#')?)
}

fn branch_target(place: u32, operand: &str) -> Result<u32> {
    let word = operand.split_whitespace().next().unwrap_or_default();
    if let Some(hex) = word.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).context("a branch to no address");
    }
    // Older disassemblers write the distance from the instruction after the next.
    let distance = immediate(word).with_context(|| format!("a branch to {operand:?}"))?;
    u32::try_from(i64::from(place) + 4 + distance).context("a branch out of memory")
}

/// Names between the braces, with ranges expanded.
fn listed(text: &str) -> Result<Vec<(char, u32)>> {
    let (_, rest) = text.split_once('{').context("a list without registers")?;
    let (inside, _) = rest.split_once('}').context("a list without an end")?;
    let one = |word: &str| -> Result<(char, u32)> {
        let word = word.trim();
        if let Some(register) = register(word) {
            return Ok(('r', u32::from(register)));
        }
        let mut letters = word.chars();
        let kind = letters.next().context("an empty name in a list")?;
        let number = letters.as_str().parse();
        Ok((kind, number.with_context(|| format!("{word} in a list"))?))
    };
    let mut names = Vec::new();
    for part in inside.split(',') {
        match part.split_once('-') {
            Some((from, to)) => {
                let ((kind, from), (_, to)) = (one(from)?, one(to)?);
                names.extend((from..=to).map(|number| (kind, number)));
            }
            None if part.trim() == "vpr" || part.trim() == "ra_auth_code" => names.push(('r', 12)),
            None => names.push(one(part)?),
        }
    }
    Ok(names)
}

/// Core registers of a list.
fn list(text: &str) -> Result<Vec<Register>> {
    let names = listed(text)?.into_iter();
    Ok(names
        .filter(|(kind, _)| *kind == 'r')
        .filter_map(|(_, number)| u8::try_from(number).ok())
        .collect())
}

/// Bytes that a list takes.
fn bytes(text: &str) -> Result<i64> {
    let sizes = listed(text)?.into_iter().map(|(kind, _)| match kind {
        'd' => 8,
        'q' => 16,
        _ => 4,
    });
    Ok(sizes.sum())
}
