//! Known values of registers: constants, and distances from the entry stack.

use anyhow::{Result, bail};

/// Registers of either architecture, by number.
pub(crate) type Register = u8;

/// Number of registers that are tracked: 32 of RISC-V, 16 of Arm.
const REGISTERS: usize = 32;

/// Value of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// An unknown value.
    Unknown,
    /// This number.
    Constant(u32),
    /// An address this many bytes below the stack pointer's on entry.
    Below(i64),
    /// The same, rounded down to a power of two: at most this many bytes below.
    AtMostBelow(i64),
    /// An address in the table that starts here.
    InTable(u32),
    /// A word of the table that starts here.
    OfTable(u32),
}

impl Value {
    /// This value and a constant.
    pub(crate) fn plus(self, constant: i64) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            // Addresses wrap.
            Self::Constant(value) => Self::Constant(value.wrapping_add(constant as u32)),
            Self::Below(below) => Self::Below(below - constant),
            Self::AtMostBelow(below) => Self::AtMostBelow(below - constant),
            Self::InTable(table) => Self::InTable(table.wrapping_add(constant as u32)),
            Self::OfTable(_) => Self::Unknown,
        }
    }

    /// This value with the lowest bits clear: `size` is a power of two. Stack pointers are multiples of 4.
    pub(crate) fn aligned(self, size: u32) -> Self {
        match self {
            Self::Unknown | Self::InTable(_) | Self::OfTable(_) => Self::Unknown,
            Self::Constant(value) => Self::Constant(value & !(size - 1)),
            Self::Below(below) | Self::AtMostBelow(below) => {
                Self::AtMostBelow(below + (i64::from(size) - 4).max(0))
            }
        }
    }

    fn meet(self, other: Self) -> Self {
        if self == other { self } else { Self::Unknown }
    }
}

/// All registers at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    registers: [Value; REGISTERS],
    stack: Register,
    /// Bytes that the instruction before has taken off the stack on a condition, with the condition's name.
    pending: Option<([u8; 2], i64)>,
}

impl State {
    /// State at the start of a function, whose stack pointer has this number.
    pub(crate) fn entry(stack: Register) -> Self {
        let mut state = Self {
            registers: [Value::Unknown; REGISTERS],
            stack,
            pending: None,
        };
        state.set(stack, Value::Below(0));
        state
    }

    pub(crate) fn get(&self, register: Register) -> Value {
        let value = self.registers.get(usize::from(register));
        value.copied().unwrap_or(Value::Unknown)
    }

    pub(crate) fn set(&mut self, register: Register, value: Value) {
        if let Some(place) = self.registers.get_mut(usize::from(register)) {
            *place = value;
        }
    }

    /// Moves the stack pointer down by this many bytes.
    pub(crate) fn push(&mut self, bytes: i64) {
        self.set(self.stack, self.get(self.stack).plus(-bytes));
    }

    /// Records bytes that come off the stack on a condition; the next instruction must be a return on the same one.
    pub(crate) fn postpone(&mut self, condition: [u8; 2], bytes: i64) {
        self.pending = Some((condition, bytes));
    }

    /// Bytes recorded by the instruction before.
    pub(crate) fn postponed(&mut self) -> Option<([u8; 2], i64)> {
        self.pending.take()
    }

    /// Bytes of the stack in use since entry, at most.
    pub(crate) fn depth(&self) -> Result<i64> {
        match self.get(self.stack) {
            Value::Below(below) | Value::AtMostBelow(below) => Ok(below),
            _ => {
                bail!("its stack pointer takes a value that is not known")
            }
        }
    }

    /// The same, if it is also known that it is not less.
    pub(crate) fn exact_depth(&self) -> Result<i64> {
        match self.get(self.stack) {
            Value::Below(below) => Ok(below),
            _ => bail!("it leaves with a stack pointer that is not known"),
        }
    }

    /// Forgets everything except the depth of the stack.
    pub(crate) fn forget(&mut self) {
        let stack = self.get(self.stack);
        self.registers = [Value::Unknown; REGISTERS];
        self.set(self.stack, stack);
    }

    /// Constants in registers.
    pub(crate) fn constants(&self) -> impl Iterator<Item = u32> {
        self.registers.iter().filter_map(|value| match value {
            Value::Constant(constant) => Some(*constant),
            _ => None,
        })
    }

    /// Keeps only what holds on both of two paths that meet; true if that is less than this state held.
    ///
    /// # Errors
    ///
    /// If the paths have pushed different amounts: the frame has no fixed size.
    pub(crate) fn meet(&mut self, other: &Self) -> Result<bool> {
        if self.pending != other.pending {
            bail!("a way leads between instructions on one condition");
        }
        if self.get(self.stack) != other.get(self.stack) {
            bail!(
                "paths with {} and {} bytes on the stack meet: its frame has no fixed size",
                self.depth()?,
                other.depth()?
            );
        }
        let before = self.clone();
        for (mine, others) in self.registers.iter_mut().zip(&other.registers) {
            *mine = mine.meet(*others);
        }
        Ok(*self != before)
    }
}
