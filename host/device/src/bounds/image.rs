//! A linked firmware as instructions, functions and data bytes.
//!
//! The instructions are the text of LLVM's `llvm-objdump`, which knows every extension of the boards' cores, the vectors
//! of the Cortex-M55 among them. Functions, sections and constants are read from the ELF file itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    ops::Range,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use object::{
    Architecture, Object as _, ObjectSection, ObjectSymbol as _, SectionFlags, SymbolKind, elf,
};

use crate::{process, setup};

/// Time limit of one disassembly.
const LIMIT: Duration = Duration::from_secs(120);

/// Symbol of the exception entry on RISC-V.
const TRAP: &str = "_start_trap";

/// The two architectures of the boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Thumb, of any M-profile core.
    Arm,
    /// 32-bit RISC-V.
    Riscv,
}

/// One instruction, as the disassembler prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Bytes, from the distance to the next instruction.
    pub length: u32,
    /// Mnemonic, without `.w` and `.n`.
    pub name: String,
    /// Operands, without comments.
    pub operands: String,
}

impl Instruction {
    /// Whether it does nothing: between code and constants there may be one that is never reached.
    pub(crate) fn fills(&self) -> bool {
        matches!(&*self.name, "nop" | "c.nop") || self.name == "mov" && self.operands == "r8, r8"
    }
}

/// A named piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Symbol; of several at one address the first that is not an alias of the start-up code.
    pub name: String,
    /// First address after it.
    pub end: u32,
}

/// Parts of a firmware that the analysis needs.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub isa: Isa,
    /// Instructions by address; constants between them are left out.
    pub code: BTreeMap<u32, Instruction>,
    /// Functions by address, not overlapping.
    pub functions: BTreeMap<u32, Function>,
    /// Address at which the processor starts.
    pub entry: u32,
    /// Address of the exception entry, if it has one.
    pub handlers: BTreeSet<u32>,
    /// Read-only or initial bytes of sections, by address.
    pub memory: Vec<(u32, Vec<u8>)>,
    /// Words of data that hold an address, without the vector table: only the processor reads it.
    pub words: BTreeSet<u32>,
}

impl Image {
    /// Reads and disassembles an ELF file. `cpu` is a core of LLVM's that knows at least the instructions of the firmware's;
    /// `None` for RISC-V.
    ///
    /// # Errors
    ///
    /// If it is not an ELF file of the boards' processors, there is no disassembler, or its text has another form.
    pub(crate) fn load(bytes: &[u8], cpu: &str) -> Result<Self> {
        let file = object::File::parse(bytes).context("the firmware is not an ELF file")?;
        let isa = match file.architecture() {
            Architecture::Arm => Isa::Arm,
            Architecture::Riscv32 => Isa::Riscv,
            other => bail!("{other:?} is not an architecture of the boards"),
        };
        let mut command = Command::new(setup::ensure_disassembler()?);
        command.args(["--disassemble", "--no-show-raw-insn"]);
        match isa {
            Isa::Arm => command.arg(format!("--mcpu={cpu}")),
            Isa::Riscv => command.args(["--mattr=+m,+a,+c", "-M", "no-aliases"]),
        };
        let mut copy = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        copy.write_all(bytes)
            .context("cannot write a temporary file")?;
        let text = process::output(command.arg(copy.path()), LIMIT)?;
        let code = listing(&text)?;
        let mut image = Self {
            isa,
            functions: functions(&file, isa, &code)?,
            code,
            entry: address(file.entry())? & !thumb(isa),
            handlers: BTreeSet::new(),
            memory: Vec::new(),
            words: BTreeSet::new(),
        };
        // Numbers of a blob, which the runtime reads as such, may look like addresses.
        let blobs: Vec<Range<u32>> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Data)
            .filter(|symbol| symbol.name().is_ok_and(|name| name.contains("BLOB")))
            .map(
                |symbol| Ok(address(symbol.address())?..address(symbol.address() + symbol.size())?),
            )
            .collect::<Result<_>>()?;
        for section in file.sections() {
            image.read_section(&section, &blobs)?;
        }
        // Where RISC-V goes is in a register, which the start-up code sets.
        let named = file.symbols().find(|symbol| symbol.name() == Ok(TRAP));
        if let (Isa::Riscv, Some(trap)) = (isa, named) {
            image.handlers.insert(address(trap.address())?);
        }
        Ok(image)
    }

    fn read_section<'d>(
        &mut self,
        section: &impl ObjectSection<'d>,
        blobs: &[Range<u32>],
    ) -> Result<()> {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            return Ok(());
        };
        let data = section.data().unwrap_or_default();
        if !sh_flags.contains(elf::SHF_ALLOC) || data.is_empty() {
            return Ok(());
        }
        let start = address(section.address())?;
        let words = data.chunks_exact(4).map(|word| {
            word.iter()
                .rev()
                .fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte))
        });
        if section.name() == Ok(".vector_table") {
            // The stack's start and the entry come first, zeros are reserved.
            let handlers = words.skip(2).filter(|&word| word & 1 == 1);
            self.handlers.extend(handlers.map(|word| word & !1));
        } else if !sh_flags.contains(elf::SHF_EXECINSTR) {
            let places = (0..).map(|at: u32| start.wrapping_add(4 * at));
            let outside = places
                .zip(words)
                .filter(|(place, _)| !blobs.iter().any(|b| b.contains(place)));
            self.words.extend(outside.map(|(_, word)| word));
        }
        self.memory.push((start, data.to_vec()));
        Ok(())
    }

    /// Start and end of the function that holds an address.
    pub(crate) fn around(&self, place: u32) -> Option<(u32, &Function)> {
        let (&start, function) = self.functions.range(..=place).next_back()?;
        (place < function.end).then_some((start, function))
    }

    /// A name for a place in the code.
    pub(crate) fn name(&self, place: u32) -> String {
        match self.around(place) {
            Some((start, function)) if start == place => short(&function.name),
            Some((start, function)) => format!("{}+{:#x}", short(&function.name), place - start),
            None => format!("{place:#x}"),
        }
    }

    /// Function whose address a constant is: with the lowest bit set on Arm.
    pub(crate) fn function_at(&self, constant: u32) -> Option<u32> {
        let place = constant & !thumb(self.isa);
        let marked = constant & thumb(self.isa) == thumb(self.isa);
        (marked && self.functions.contains_key(&place) && self.code.contains_key(&place))
            .then_some(place)
    }

    /// The word at an address of the file, if it holds one.
    pub(crate) fn word(&self, place: u32) -> Option<u32> {
        self.memory.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(place.checked_sub(*start)?).ok()?;
            let word: [u8; 4] = bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
            Some(u32::from_le_bytes(word))
        })
    }
}

/// The bit that marks addresses of functions.
pub(crate) fn thumb(isa: Isa) -> u32 {
    u32::from(isa == Isa::Arm)
}

/// A number as disassemblers write it, newer ones in hexadecimal digits.
pub(crate) fn number(word: &str) -> Option<i64> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word),
    };
    let value: i64 = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(sign * value)
}

fn address(value: u64) -> Result<u32> {
    u32::try_from(value).context("an address has more than 32 bits")
}

/// The end of a symbol's path, without the compiler's hash.
pub(crate) fn short(symbol: &str) -> String {
    let name = symbol.split(".llvm.").next().unwrap_or(symbol);
    let name = match name.rsplit_once("17h") {
        Some((path, hash)) if hash.len() == 17 && path.starts_with("_ZN") => path,
        _ => name,
    };
    let mut parts = Vec::new();
    let mut rest = name.strip_prefix("_ZN").unwrap_or("");
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()) {
        let Ok(length) = rest[..digits].parse::<usize>() else {
            break;
        };
        let Some(part) = rest.get(digits..digits + length) else {
            break;
        };
        parts.push(part);
        rest = &rest[digits + length..];
    }
    let last: Vec<&str> = parts.iter().rev().take(2).rev().copied().collect();
    if last.is_empty() {
        return name.to_owned();
    }
    const WRITTEN: [(&str, &str); 7] = [
        ("_$LT$", "<"),
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$C$", ","),
        ("$u20$", " "),
        ("$u7b$", "{"),
        ("$u7d$", "}"),
    ];
    let named = last.join("::").replace("..", "::");
    WRITTEN
        .iter()
        .fold(named, |name, (from, to)| name.replace(from, to))
}

/// The instructions of a disassembly.
///
/// # Errors
///
/// If a line has another form, or an instruction is not known to the disassembler.
pub(crate) fn listing(text: &str) -> Result<BTreeMap<u32, Instruction>> {
    let mut code = BTreeMap::new();
    // The address behind the last instruction, once the next line shows it.
    let mut open: Option<u32> = None;
    for line in text.lines() {
        let Some((place, rest)) = line.split_once(':') else {
            continue;
        };
        let Ok(place) = u32::from_str_radix(place.trim(), 16) else {
            continue;
        };
        if let Some(last) = open.take()
            && let Some(instruction) = code.get_mut(&last)
        {
            let instruction: &mut Instruction = instruction;
            // A gap is one between sections.
            instruction.length = place.checked_sub(last).filter(|&l| l <= 4).unwrap_or(2);
        }
        // Constants: `.word` and the like, behind their bytes.
        let is_data = |word: &str| word.starts_with('.') && word.len() > 1;
        let mut words = rest.split_whitespace();
        let Some(name) = words.next() else {
            bail!("the disassembler wrote the line {line:?}");
        };
        if rest.split_whitespace().any(is_data) {
            continue;
        }
        if rest.contains("<unknown>") {
            // Only of weight where it is reached; the analysis refuses it there.
            code.insert(place, instruction("<unknown>", ""));
            continue;
        }
        let operands = rest.trim_start().get(name.len()..).unwrap_or_default();
        let operands = operands.split(['@', '<']).next().unwrap_or_default();
        let name = name.trim_end_matches(".w").trim_end_matches(".n");
        code.insert(place, instruction(name, operands.trim()));
        open = Some(place);
    }
    if code.is_empty() {
        bail!("the disassembler wrote no instruction");
    }
    Ok(code)
}

fn instruction(name: &str, operands: &str) -> Instruction {
    Instruction {
        // Of the last one of all, which nothing comes after.
        length: 2,
        name: name.to_owned(),
        operands: operands.to_owned(),
    }
}

/// Functions by the file's symbols; one without a size ends where the next one starts.
fn functions(
    file: &object::File<'_>,
    isa: Isa,
    code: &BTreeMap<u32, Instruction>,
) -> Result<BTreeMap<u32, Function>> {
    let mut found: BTreeMap<u32, Function> = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_definition()) {
        let Ok(name) = symbol.name() else { continue };
        // Labels are parts of functions; what linker scripts name are places. Assembly is not always marked as a function.
        let label = matches!(symbol.kind(), SymbolKind::Label | SymbolKind::Unknown);
        let assembly = isa == Isa::Riscv && label && !name.starts_with("__");
        if name.is_empty()
            || name.starts_with(['$', '.'])
            || !(assembly || symbol.kind() == SymbolKind::Text)
        {
            continue;
        }
        let start = address(symbol.address())? & !thumb(isa);
        if !code.contains_key(&start) {
            continue;
        }
        let end = start.saturating_add(address(symbol.size())?);
        let function = found.entry(start).or_insert_with(|| Function {
            name: name.to_owned(),
            end,
        });
        // Of aliases the one with a size: the others are weak names.
        if end > function.end {
            *function = Function {
                name: name.to_owned(),
                end,
            };
        }
    }
    let starts: Vec<u32> = found.keys().copied().collect();
    for (start, next) in starts
        .iter()
        .zip(starts.iter().skip(1).copied().chain([u32::MAX]))
    {
        if let Some(function) = found.get_mut(start) {
            if function.end <= *start {
                function.end = next;
            }
            function.end = function.end.min(next);
        }
    }
    if found.is_empty() {
        bail!("the firmware has no symbols of functions");
    }
    Ok(found)
}
