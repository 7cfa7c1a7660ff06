//! Analysis of one function: its deepest frame, and the depth of its calls.
//!
//! A function's code is followed from its start along every branch, with the stack pointer's distance from the start at
//! each instruction. If paths with other distances meet, or the stack pointer takes a value that is not
//! known, the function has no bound, and this is reported. Functions are followed before their callers, so that nothing
//! after a call that does not return counts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};

use super::{
    arm,
    image::{Image, Isa, thumb},
    riscv,
    state::State,
    step::Flow,
};

/// A call, or a jump to another function's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Address of the call.
    pub place: u32,
    /// Called address; none by an unknown register.
    pub target: Option<u32>,
    /// Bytes of the caller's on the stack there.
    pub depth: i64,
    /// Whether it does not come back here.
    pub tail: bool,
}

/// Facts about a function, without its callees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Largest number of its bytes on the stack.
    pub peak: i64,
    pub calls: Vec<Call>,
    /// Bytes on the stack, against the entry, when it returns; empty if it never does.
    returns: BTreeSet<i64>,
    /// Jumps by tables of distances.
    pub tables: BTreeSet<u32>,
    /// Functions whose address it makes.
    pub taken: BTreeSet<u32>,
    /// Reasons why its frame has no bound.
    pub problem: Option<String>,
}

/// All functions that have been followed.
pub(crate) struct Analysis<'i> {
    pub image: &'i Image,
    pub parts: BTreeMap<u32, Part>,
    /// Functions that end the program and are not followed.
    ends: &'i dyn Fn(&str) -> bool,
    /// Functions that are being followed, each called by the one before it.
    open: Vec<u32>,
    /// Functions that call each other in a circle, as found.
    pub circles: Vec<Vec<u32>>,
}

impl<'i> Analysis<'i> {
    pub(crate) fn new(image: &'i Image, ends: &'i dyn Fn(&str) -> bool) -> Self {
        Self {
            image,
            parts: BTreeMap::new(),
            ends,
            open: Vec::new(),
            circles: Vec::new(),
        }
    }

    /// Follows the function at `start` and all that it calls.
    pub(crate) fn follow(&mut self, start: u32) {
        if self.parts.contains_key(&start) {
            return;
        }
        if let Some(at) = self.open.iter().position(|&open| open == start) {
            let circle = self.open[at..].to_vec();
            if !self.circles.contains(&circle) {
                self.circles.push(circle);
            }
            return;
        }
        let ends = self.image.functions.get(&start);
        if ends.is_some_and(|function| (self.ends)(&function.name)) {
            self.parts.insert(start, Part::default());
            return;
        }
        self.open.push(start);
        let mut part = Part::default();
        if let Err(problem) = self.run(start, &mut part) {
            part.problem = Some(fewbit::error_text(&*problem));
        }
        self.open.pop();
        part.calls.sort_by_key(|call| call.place);
        part.calls.dedup();
        self.parts.insert(start, part);
    }

    /// Bytes by which a function's returns move the stack pointer, followed first.
    fn returns(&mut self, start: u32) -> BTreeSet<i64> {
        self.follow(start);
        match self.parts.get(&start) {
            Some(part) => part.returns.clone(),
            // In a circle, which is refused in any case.
            None => BTreeSet::from([0]),
        }
    }

    fn run(&mut self, start: u32, part: &mut Part) -> Result<()> {
        let image = self.image;
        let (first, end) = match image.around(start) {
            Some((first, function)) => (first, function.end),
            None => bail!("it is in no function of the file's symbols"),
        };
        let stack = match image.isa {
            Isa::Arm => arm::STACK,
            Isa::Riscv => riscv::STACK,
        };
        let mut states = BTreeMap::from([(start, State::entry(stack))]);
        let mut waiting = vec![start];
        // What holds wherever a jump by a table or a register goes.
        let mut tables: Option<State> = None;
        loop {
            while let Some(place) = waiting.pop() {
                let Some(instruction) = image.code.get(&place) else {
                    bail!("it goes on at {place:#x}, where no instruction is");
                };
                let Some(state) = states.get(&place) else {
                    continue;
                };
                let mut state = state.clone();
                let shown = || format!("at {place:#x}");
                let before = state.clone();
                let mut flow = match image.isa {
                    Isa::Arm => arm::step(image, place, instruction, &mut state),
                    Isa::Riscv => riscv::step(image, place, instruction, &mut state),
                }
                .with_context(shown)?;
                // An address that is made for the jump or call itself, and is in no other register, is no pointer.
                part.take(
                    image,
                    match &flow {
                        Flow::Jump(_) => &state,
                        Flow::Call(_, at) => at,
                        _ => &before,
                    },
                );
                let mut goes_on = true;
                let mut to = Vec::new();
                if let Flow::Entries(table) = flow {
                    // Words that are places of this function: at least those of the table, which has no other ones.
                    let words = (0..).map_while(|at: u32| image.word(table.checked_add(4 * at)?));
                    let words = words.map(|word| word & !thumb(image.isa));
                    to.extend(words.take_while(|word| (first + 1..end).contains(word)));
                    if to.is_empty() {
                        flow = Flow::Indirect;
                    }
                }
                match flow {
                    Flow::Next => {}
                    Flow::Jump(target) => {
                        to.push(target);
                        goes_on = false;
                    }
                    Flow::Branch(target) => to.push(target),
                    // Branches that reach far are written like calls where the link register is free.
                    Flow::Call(target, at) if target != first && (first..end).contains(&target) => {
                        state = *at;
                        to.push(target);
                        goes_on = false;
                    }
                    Flow::Call(target, at) => {
                        part.call(place, Some(target), at.depth().with_context(shown)?, false);
                        let returns = self.returns(target);
                        if is_outlined(image, target) {
                            state.forget();
                        }
                        goes_on = !returns.is_empty();
                        match returns.iter().collect::<Vec<_>>()[..] {
                            [] | [0] => {}
                            [&moved] => state.push(moved),
                            _ => bail!("it calls {}, which moves the stack", image.name(target)),
                        }
                        part.reach(&state).with_context(shown)?;
                    }
                    Flow::CallIndirect(at) => {
                        part.call(place, None, at.depth().with_context(shown)?, false);
                    }
                    Flow::Entries(_) => {
                        goes_on = false;
                        part.tables.insert(place);
                    }
                    Flow::Table | Flow::Indirect => {
                        goes_on = false;
                        if matches!(flow, Flow::Table) {
                            part.tables.insert(place);
                        } else {
                            part.call(place, None, state.depth().with_context(shown)?, true);
                        }
                        match &mut tables {
                            Some(tables) => {
                                tables.meet(&state).with_context(shown)?;
                            }
                            None => tables = Some(state.clone()),
                        }
                    }
                    Flow::Return {
                        conditional,
                        state: after,
                    } => {
                        part.returns
                            .insert(after.exact_depth().with_context(shown)?);
                        goes_on = conditional;
                    }
                    Flow::Stop => goes_on = false,
                }
                part.reach(&state).with_context(shown)?;
                if goes_on {
                    to.push(place + instruction.length);
                }
                for target in to {
                    if !(first..end).contains(&target) {
                        let depth = state.depth().with_context(shown)?;
                        part.call(place, Some(target), depth, true);
                        let returns = self.returns(target);
                        if !returns.is_empty() {
                            state.exact_depth().with_context(shown)?;
                        }
                        part.returns
                            .extend(returns.iter().map(|moved| depth + moved));
                        continue;
                    }
                    let changed = match states.get_mut(&target) {
                        Some(there) => there.meet(&state).with_context(shown)?,
                        None => {
                            states.insert(target, state.clone());
                            true
                        }
                    };
                    if changed {
                        waiting.push(target);
                    }
                }
            }
            // What nothing leads to is what the tables lead to.
            let Some(tables) = &tables else { break };
            let next = image
                .code
                .range(first..end)
                .find(|(place, instruction)| !states.contains_key(place) && !instruction.fills());
            let Some((&next, _)) = next else { break };
            states.insert(next, tables.clone());
            waiting.push(next);
        }
        Ok(())
    }
}

/// Whether the compiler has outlined a function from others: it may change registers that calls preserve.
fn is_outlined(image: &Image, start: u32) -> bool {
    let function = image.functions.get(&start);
    function.is_some_and(|function| function.name.starts_with("OUTLINED_FUNCTION"))
}

impl Part {
    /// Records the depth of the stack.
    fn reach(&mut self, state: &State) -> Result<()> {
        self.peak = self.peak.max(state.depth()?);
        Ok(())
    }

    /// Records functions whose addresses are in registers.
    fn take(&mut self, image: &Image, state: &State) {
        self.taken.extend(
            state
                .constants()
                .filter_map(|constant| image.function_at(constant)),
        );
    }

    fn call(&mut self, place: u32, target: Option<u32>, depth: i64, tail: bool) {
        // A place that is passed again has the same depth.
        let call = Call {
            place,
            target,
            depth,
            tail,
        };
        if !self.calls.contains(&call) {
            self.calls.push(call);
        }
    }
}
