//! Where instructions go.

use super::state::State;

/// Where an instruction goes.
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
    /// The same by a register that is not known.
    CallIndirect(Box<State>),
    /// By a table of distances inside the function.
    Table,
    /// To an entry of the table of addresses that starts here.
    Entries(u32),
    /// By a register that is not known: to an entry of a table, or to a function that ends this one.
    Indirect,
    /// To the caller, with the state there; the next one too if it is on a condition.
    Return {
        /// Whether it may be passed over.
        conditional: bool,
        /// Of the registers after it.
        state: Box<State>,
    },
    /// Nowhere: an instruction that is not defined, on purpose.
    Stop,
}
