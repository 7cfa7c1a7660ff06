//! The call graph from an entry: reached functions, circles, and depth.
//!
//! A call by an unknown register goes to every function whose address the program computes or holds in its data.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    flow::{Analysis, Part},
    image::Image,
};
use crate::elf;

/// A call, or a jump, by a register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Indirect {
    /// Function that contains it.
    pub function: String,
    /// Its address.
    pub address: u32,
    /// `call`; `jump`, into a table of the function or to another function; or `table`, which cannot leave the function.
    pub kind: &'static str,
    /// Number of functions that it may reach: every one whose address the program computes or holds, except entries that only the processor uses.
    pub targets: Vec<String>,
}

/// Results about the call graph of a firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Functions that the entry reaches.
    pub functions: usize,
    /// Functions of the file that neither the entry nor a handler reaches.
    pub unreached: Vec<String>,
    /// Reached functions that belong to panics.
    pub panics: Vec<String>,
    /// Circles of functions that call each other.
    pub recursion: Vec<Vec<String>>,
    /// Every call and jump by a register.
    pub indirect: Vec<Indirect>,
    /// Reasons why the stack has no bound: functions whose frame is not known.
    pub unbounded: Vec<String>,
    /// Largest number of stack bytes from the entry, without exceptions.
    pub stack_bytes: Option<u64>,
    /// Deepest path: functions, and bytes on the stack when each calls the next one.
    pub deepest: Vec<(String, i64)>,
    /// Largest number of bytes that one exception adds: what the processor stores, and the deepest handler.
    pub exception_bytes: Option<u64>,
}

/// Most bytes that an M-profile core stores on an exception: 8 words, and a word to align.
const FRAME: u64 = 36;
/// The same with registers of floats and vectors.
const FLOAT_FRAME: u64 = 108;

/// Analyses a firmware from its entry. Functions for which `ends` holds are not followed: they end the program.
pub(crate) fn bounds(image: &Image, floats: bool, ends: &dyn Fn(&str) -> bool) -> Bounds {
    let mut analysis = Analysis::new(image, ends);
    let pointers = targets(&mut analysis);
    let graph = Graph {
        image,
        parts: &analysis.parts,
        pointers: &pointers,
    };
    let reached = graph.reached(image.entry);
    let mut everything = reached.clone();
    for &handler in &image.handlers {
        everything.extend(graph.reached(handler));
    }
    let unreached = image
        .functions
        .iter()
        .filter(|(start, _)| !everything.contains(start))
        .map(|(_, function)| function.name.clone());
    let mut circles = analysis.circles.clone();
    if circles.is_empty() {
        circles.extend(graph.circle(&reached));
    }
    let named = |circle: Vec<u32>| circle.into_iter().map(|place| image.name(place)).collect();
    let unbounded: Vec<String> = reached
        .iter()
        .filter_map(|start| {
            let problem = analysis.parts.get(start)?.problem.as_ref()?;
            Some(format!("{}: {problem}", image.name(*start)))
        })
        .collect();
    let bounded = circles.is_empty() && unbounded.is_empty();
    let mut depths = BTreeMap::new();
    let stack_bytes = bounded
        .then(|| graph.depth(image.entry, &mut depths))
        .and_then(|depth| u64::try_from(depth).ok());
    let handlers: Vec<u32> = image.handlers.iter().copied().collect();
    let handled = bounded
        && handlers.iter().all(|&handler| {
            let reached = graph.reached(handler);
            graph.circle(&reached).is_none()
                && reached.iter().all(|start| {
                    let part = analysis.parts.get(start);
                    part.is_some_and(|part| part.problem.is_none())
                })
        });
    let frame = match image.isa {
        super::image::Isa::Riscv => 0,
        super::image::Isa::Arm if floats => FLOAT_FRAME,
        super::image::Isa::Arm => FRAME,
    };
    let exception_bytes = handled.then(|| {
        let deepest = handlers
            .iter()
            .map(|&handler| graph.depth(handler, &mut depths));
        frame + u64::try_from(deepest.max().unwrap_or(0)).unwrap_or(0)
    });
    let mut panics: Vec<String> = reached
        .iter()
        .filter_map(|start| image.functions.get(start))
        .filter(|function| elf::can_panic(&function.name))
        .map(|function| function.name.clone())
        .collect();
    panics.sort();
    Bounds {
        functions: reached.len(),
        unreached: unreached.collect(),
        panics,
        recursion: circles.into_iter().map(named).collect(),
        indirect: graph.indirect(&reached),
        unbounded,
        stack_bytes,
        deepest: if bounded {
            graph.deepest(&depths)
        } else {
            Vec::new()
        },
        exception_bytes,
    }
}

/// Follows everything from the entry and the handlers, and returns the functions that a register may hold.
fn targets(analysis: &mut Analysis<'_>) -> BTreeSet<u32> {
    let image = analysis.image;
    analysis.follow(image.entry);
    for &handler in &image.handlers {
        analysis.follow(handler);
    }
    let mut found: BTreeSet<u32> = BTreeSet::new();
    let in_data: BTreeSet<u32> = image
        .words
        .iter()
        .filter_map(|&word| image.function_at(word))
        .collect();
    loop {
        let has_sites = analysis
            .parts
            .values()
            .any(|part| part.calls.iter().any(|call| call.target.is_none()));
        let made = analysis.parts.values().flat_map(|part| &part.taken);
        let mut all: BTreeSet<u32> = made.chain(&in_data).copied().collect();
        // The processor alone goes there: a vector table or a register of its own holds the address.
        all.remove(&image.entry);
        for handler in &image.handlers {
            all.remove(handler);
        }
        if !has_sites || all == found {
            return if has_sites { found } else { BTreeSet::new() };
        }
        for &start in &all {
            analysis.follow(start);
        }
        found = all;
    }
}

struct Graph<'g> {
    image: &'g Image,
    parts: &'g BTreeMap<u32, Part>,
    /// Targets of calls by registers.
    pointers: &'g BTreeSet<u32>,
}

impl Graph<'_> {
    /// Functions that a function calls, with the bytes on the stack there.
    fn calls(&self, start: u32) -> Vec<(u32, i64)> {
        let calls = self.parts.get(&start).map(|part| &part.calls);
        calls
            .into_iter()
            .flatten()
            .flat_map(|call| {
                let pointers = self
                    .pointers
                    .iter()
                    .copied()
                    .filter(|_| call.target.is_none());
                call.target
                    .into_iter()
                    .chain(pointers)
                    .map(|target| (target, call.depth))
            })
            .collect()
    }

    fn reached(&self, start: u32) -> BTreeSet<u32> {
        let mut reached = BTreeSet::from([start]);
        let mut waiting = vec![start];
        while let Some(function) = waiting.pop() {
            for (target, _) in self.calls(function) {
                if reached.insert(target) {
                    waiting.push(target);
                }
            }
        }
        reached
    }

    /// Some circle among these functions.
    fn circle(&self, functions: &BTreeSet<u32>) -> Option<Vec<u32>> {
        // Takes away what only calls functions that are away already; what stays is in a circle or leads to one.
        let mut left = functions.clone();
        loop {
            let before = left.len();
            let kept = left.clone();
            left.retain(|&start| self.calls(start).iter().any(|(to, _)| kept.contains(to)));
            if left.len() == before {
                break;
            }
        }
        let mut way = vec![*left.first()?];
        loop {
            let calls = self.calls(*way.last()?);
            let next = calls.iter().find(|(to, _)| left.contains(to))?.0;
            if let Some(at) = way.iter().position(|&start| start == next) {
                return Some(way.split_off(at));
            }
            way.push(next);
        }
    }

    /// Largest number of bytes from a function's start on. Ends, as there is no circle.
    fn depth(&self, start: u32, known: &mut BTreeMap<u32, i64>) -> i64 {
        if let Some(&depth) = known.get(&start) {
            return depth;
        }
        let mut most = self.parts.get(&start).map_or(0, |part| part.peak);
        for (target, depth) in self.calls(start) {
            most = most.max(depth + self.depth(target, known));
        }
        known.insert(start, most);
        most
    }

    /// The path that takes the most.
    fn deepest(&self, depths: &BTreeMap<u32, i64>) -> Vec<(String, i64)> {
        let mut way = Vec::new();
        let mut at = self.image.entry;
        loop {
            let most = depths.get(&at).copied().unwrap_or(0);
            let calls = self.calls(at);
            let next = calls
                .iter()
                .find(|(to, depth)| depths.get(to).is_some_and(|below| depth + below == most));
            match next {
                Some(&(to, depth)) => {
                    way.push((self.image.name(at), depth));
                    at = to;
                }
                None => {
                    way.push((self.image.name(at), most));
                    return way;
                }
            }
        }
    }

    fn indirect(&self, reached: &BTreeSet<u32>) -> Vec<Indirect> {
        let targets: Vec<String> = self
            .pointers
            .iter()
            .map(|&to| self.image.name(to))
            .collect();
        let mut all = Vec::new();
        for start in reached {
            let Some(part) = self.parts.get(start) else {
                continue;
            };
            let function = self.image.name(*start);
            for call in part.calls.iter().filter(|call| call.target.is_none()) {
                all.push(Indirect {
                    function: function.clone(),
                    address: call.place,
                    kind: if call.tail { "jump" } else { "call" },
                    targets: targets.clone(),
                });
            }
            all.extend(part.tables.iter().map(|&address| Indirect {
                function: function.clone(),
                address,
                kind: "table",
                targets: Vec::new(),
            }));
        }
        all
    }
}
