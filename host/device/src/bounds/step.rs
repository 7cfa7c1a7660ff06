//! Successors of instructions.

use super::state::State;

/// Successor of an instruction.
#[derive(Clone, Debug)]
pub(crate) enum Flow {
    /// To the next one.
    Next,
    /// Elsewhere.
    Jump(u32),
    /// Elsewhere or to the next one.
    Branch(u32),
    /// To a function, with the state at the call, and back.
    Call(u32, Box<State>),
    /// The same by an unknown register.
    CallIndirect(Box<State>),
    /// By a table of distances inside the function.
    Table,
    /// To an entry of the table of addresses that starts here.
    Entries(u32),
    /// By an unknown register: to an entry of a table, or to a function that ends this one.
    Indirect,
    /// To the caller, with the state there; the next one too if it is on a condition.
    Return {
        /// Whether it is conditional.
        conditional: bool,
        /// State of the registers after it.
        state: Box<State>,
    },
    /// Nowhere: an instruction that is undefined on purpose.
    Stop,
}
