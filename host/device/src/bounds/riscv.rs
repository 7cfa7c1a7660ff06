//! Effects of RISC-V instructions on the stack and on known registers.

use anyhow::{Context as _, Result, bail};

use super::{
    image::{Image, Instruction, number},
    state::{Register, State, Value},
    step::Flow,
};

/// The stack pointer, `x2`.
pub(crate) const STACK: Register = 2;
const ZERO: Register = 0;
const LINK: Register = 1;

/// Parts of the start-up code that place the stack.
const START_UP: [&str; 3] = ["_start", "_abs_start", "_start_rust"];

/// Registers that a call preserves: `sp`, `gp`, `tp`, and `s0` to `s11`.
const KEPT_BY_CALLS: [Register; 15] = [2, 3, 4, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27];

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
    let name = instruction.name.trim_start_matches("c.");
    let compressed = instruction.name.starts_with("c.");
    let text = instruction.operands.as_str();
    let operands: Vec<&str> = text.split(',').map(str::trim).collect();
    let first = operands.first().copied().unwrap_or_default();
    let last = operands.last().copied().unwrap_or_default();
    let flow = match name {
        "j" => Flow::Jump(target(last)?),
        "jal" if compressed => call(state, Some(target(last)?)),
        "jal" if register(first) == Some(ZERO) => Flow::Jump(target(last)?),
        "jal" => call(state, Some(target(last)?)),
        "beq" | "bne" | "blt" | "bge" | "bltu" | "bgeu" | "beqz" | "bnez" => {
            Flow::Branch(target(last)?)
        }
        "jr" => leave(state, register(first), 0),
        "jalr" if compressed => call_by(state, register(first).unwrap_or(LINK), 0),
        "jalr" => {
            let (offset, base) = address(last)?;
            if register(first) == Some(ZERO) {
                leave(state, Some(base), offset)
            } else {
                call_by(state, base, offset)
            }
        }
        "mret" => Flow::Return {
            conditional: false,
            state: Box::new(state.clone()),
        },
        "unimp" => Flow::Stop,
        "<unknown>" => bail!("it holds an instruction that the disassembler does not know"),
        _ => {
            plain(image, place, name, compressed, &operands, text, state)?;
            Flow::Next
        }
    };
    Ok(flow)
}

fn plain(
    image: &Image,
    place: u32,
    name: &str,
    compressed: bool,
    operands: &[&str],
    text: &str,
    state: &mut State,
) -> Result<()> {
    const STORES: [&str; 8] = ["sb", "sh", "sw", "swsp", "fsw", "fswsp", "fsd", "fsdsp"];
    const SILENT: [&str; 8] = [
        "nop",
        "fence",
        "fence.i",
        "ebreak",
        "ecall",
        "wfi",
        "sfence.vma",
        "uret",
    ];
    if STORES.contains(&name) || SILENT.contains(&name) {
        return Ok(());
    }
    let Some(destination) = operands.first().and_then(|word| register(word)) else {
        // Registers of floats.
        return Ok(());
    };
    if destination == ZERO {
        return Ok(());
    }
    let of = |at: usize| operands.get(at).and_then(|word| register(word));
    let number = |at: usize| operands.get(at).and_then(|word| immediate(word));
    let get = |register: Register| {
        if register == ZERO {
            Value::Constant(0)
        } else {
            state.get(register)
        }
    };
    let own = get(destination);
    let written = match (name, operands.len()) {
        ("addi" | "addi16sp", 2) => number(1).map(|number| own.plus(number)),
        ("addi" | "addi4spn", 3) => of(1)
            .zip(number(2))
            .map(|(base, number)| get(base).plus(number)),
        ("lw", 2) => operands.get(1).and_then(|word| loaded(word, state)),
        ("mv", 2) => of(1).map(get),
        ("li", 2) => number(1).map(|number| Value::Constant(number as u32)),
        ("lui", 2) => number(1).map(|number| Value::Constant((number as u32) << 12)),
        ("auipc", 2) => {
            number(1).map(|number| Value::Constant(place.wrapping_add((number as u32) << 12)))
        }
        ("add", 2) if compressed => of(1).and_then(|other| sum(own, get(other))),
        ("add", 3) => of(1)
            .zip(of(2))
            .and_then(|(left, right)| sum(get(left), get(right))),
        ("sub", 3) => of(1)
            .zip(of(2))
            .and_then(|(left, right)| Some(get(left).plus(-constant(get(right))?))),
        ("andi", 3) => of(1)
            .zip(number(2))
            .and_then(|(base, mask)| aligned(get(base), mask)),
        ("andi", 2) => number(1).and_then(|mask| aligned(own, mask)),
        _ => None,
    };
    match written {
        // The start-up code places the stack: its depth counts from there.
        Some(Value::Constant(_)) if destination == STACK => {
            let function = image.around(place).map(|(_, function)| &*function.name);
            if !function.is_some_and(|name| START_UP.contains(&name)) {
                bail!("`{name} {text}` places the stack anew");
            }
            state.set(STACK, Value::Below(0));
        }
        Some(value) if value != Value::Unknown => state.set(destination, value),
        _ if destination == STACK => {
            bail!("`{name} {text}` moves the stack by an unknown amount")
        }
        _ => state.set(destination, Value::Unknown),
    }
    Ok(())
}

fn sum(left: Value, right: Value) -> Option<Value> {
    match (constant(left), constant(right)) {
        (_, Some(number)) if left != Value::Unknown => Some(left.plus(number)),
        (_, Some(table)) => Some(Value::InTable(table as u32)),
        (Some(number), _) if right != Value::Unknown => Some(right.plus(number)),
        (Some(table), _) => Some(Value::InTable(table as u32)),
        _ => None,
    }
}

/// Word of a table that a load reads, if it is one.
fn loaded(operand: &str, state: &State) -> Option<Value> {
    let (offset, base) = address(operand).ok()?;
    match state.get(base).plus(offset) {
        Value::InTable(table) => Some(Value::OfTable(table)),
        _ => None,
    }
}

fn aligned(value: Value, mask: i64) -> Option<Value> {
    let size = u32::try_from(mask.checked_neg()?).ok()?;
    size.is_power_of_two().then(|| value.aligned(size))
}

fn constant(value: Value) -> Option<i64> {
    match value {
        Value::Constant(constant) => Some(i64::from(constant.cast_signed())),
        _ => None,
    }
}

fn absolute(value: Value) -> Option<u32> {
    match value {
        Value::Constant(target) => Some(target & !1),
        _ => None,
    }
}

fn call(state: &mut State, target: Option<u32>) -> Flow {
    let at = Box::new(state.clone());
    for register in (0..32).filter(|register| !KEPT_BY_CALLS.contains(register)) {
        state.set(register, Value::Unknown);
    }
    match target {
        Some(target) => Flow::Call(target, at),
        None => Flow::CallIndirect(at),
    }
}

/// A call by a register; its value does not count as a pointer if it was made for the call alone.
fn call_by(state: &mut State, base: Register, offset: i64) -> Flow {
    let known = absolute(state.get(base).plus(offset));
    let mut flow = call(state, known);
    if let Flow::Call(_, at) = &mut flow {
        at.set(base, Value::Unknown);
    }
    flow
}

/// A jump by a register: to a known place, back to the caller, or anywhere.
fn leave(state: &mut State, base: Option<Register>, offset: i64) -> Flow {
    let known = base.and_then(|base| absolute(state.get(base).plus(offset)));
    match (known, base) {
        (Some(target), base) => {
            state.set(base.unwrap_or(LINK), Value::Unknown);
            Flow::Jump(target)
        }
        (None, Some(LINK)) => Flow::Return {
            conditional: false,
            state: Box::new(state.clone()),
        },
        (None, Some(base)) if offset == 0 => match state.get(base) {
            Value::OfTable(table) => Flow::Entries(table),
            _ => Flow::Indirect,
        },
        _ => Flow::Indirect,
    }
}

/// An operand such as `-12(sp)`.
fn address(operand: &str) -> Result<(i64, Register)> {
    let parts = operand.trim_end_matches(')').split_once('(');
    let (offset, base) = parts.with_context(|| format!("a jump to {operand:?}"))?;
    let offset = number(offset.trim());
    let base = register(base).with_context(|| format!("a jump by {base:?}"))?;
    Ok((
        offset.with_context(|| format!("a jump to {operand:?}"))?,
        base,
    ))
}

fn target(operand: &str) -> Result<u32> {
    let word = operand.split_whitespace().next().unwrap_or_default();
    let hex = word.strip_prefix("0x");
    let hex = hex.with_context(|| format!("a branch to {operand:?}"))?;
    u32::from_str_radix(hex, 16).context("a branch to no address")
}

fn register(word: &str) -> Option<Register> {
    let number = |rest: &str| rest.parse::<Register>().ok();
    let word = word.trim();
    Some(match word {
        "zero" => ZERO,
        "ra" => LINK,
        "sp" => STACK,
        "gp" => 3,
        "tp" => 4,
        "fp" => 8,
        _ => match word.split_at_checked(1)? {
            ("t", rest) => match number(rest)? {
                n @ 0..=2 => n + 5,
                n @ 3..=6 => n + 25,
                _ => return None,
            },
            ("s", rest) => match number(rest)? {
                n @ 0..=1 => n + 8,
                n @ 2..=11 => n + 16,
                _ => return None,
            },
            ("a", rest) => number(rest).filter(|&n| n < 8)? + 10,
            _ => return None,
        },
    })
}

fn immediate(word: &str) -> Option<i64> {
    number(word.trim())
}
