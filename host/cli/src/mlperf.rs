//! `fewbit mlperf`: MLPerf Tiny's device interface.
//!
//! Builds the firmware, and sends it the commands of the benchmark's runner: loads inputs as the benchmark's bytes and reads the results. Every
//! result is compared with the runtime's on the host; accuracy and throughput are those of the device.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use fewbit::dataset::{Dataset, DatasetSpec, InputLayout};
use fewbit::measure::simulate::Simulator;
use fewbit::output::write_atomically;
use fewbit::progress::Progress as _;
use fewbit_runtime::AlignedBlob;
use serde::Serialize;

use crate::{Bar, Environment, percent, table, write_json};
use fewbit_device::board::Board;
use fewbit_device::firmware::{self, Application};
use fewbit_device::link::{
    emulator::Emulator,
    line::{self, Line},
};

/// Bytes of an input in one command: 2 digits each, and a command has at most 80 characters.
const CHUNK_BYTES: usize = 31;

/// Models of the benchmark whose inputs are bytes.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Keywords: 49 x 10 features, as int8 with the scale and the zero point of the reference model.
    Kws01,
    /// Images of 32 x 32, three bytes per pixel.
    Ic01,
    /// Persons in images of 96 x 96, three bytes per pixel.
    Vww01,
}

impl Model {
    fn name(self) -> &'static str {
        match self {
            Self::Kws01 => "kws01",
            Self::Ic01 => "ic01",
            Self::Vww01 => "vww01",
        }
    }

    /// Real number of each byte of the benchmark.
    fn reals(self, simulator: &Simulator) -> Result<Vec<f32>> {
        /// Encoding of the reference model's input (`kws_ref_model.tflite` of mlcommons/tiny).
        const KWS_SCALE: f32 = 0.584_702_9;
        const KWS_ZERO_POINT: f32 = 83.0;
        let (_, transform) = simulator.input_source();
        let bytes = (0..=u8::MAX).map(f32::from);
        match self {
            Self::Kws01 => Ok((0..=u8::MAX)
                .map(|byte| (f32::from(byte.cast_signed()) - KWS_ZERO_POINT) * KWS_SCALE)
                .collect()),
            Self::Ic01 | Self::Vww01 => {
                if transform.mean.len() != 1 || transform.std.len() != 1 {
                    bail!(
                        "the model's input has another mean or std for each channel; one table cannot turn bytes into it"
                    );
                }
                let mut reals: Vec<f32> = bytes.collect();
                transform.apply(&mut reals, &InputLayout::pixels(1));
                Ok(reals)
            }
        }
    }

    /// Quantized input value of the model for each byte of the benchmark.
    fn table(self, simulator: &Simulator) -> Result<Box<[i8; 256]>> {
        let table = simulator.quantize_inputs(&self.reals(simulator)?);
        match table.into_boxed_slice().try_into() {
            Ok(table) => Ok(table),
            Err(_) => bail!("a table of 256 values has another length"),
        }
    }

    /// Builds the firmware for the benchmark's runner, with `blob`.
    ///
    /// # Errors
    ///
    /// If the blob cannot be run, or its input does not consist of the benchmark's bytes.
    pub fn application(self, blob: &[u8]) -> Result<Application> {
        let blob = AlignedBlob::new(blob);
        Ok(Application::Mlperf {
            model: self.name(),
            table: self.table(&Simulator::new(blob.as_bytes())?)?,
        })
    }
}

/// Measurement modes.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One inference per input, compared with the labels.
    Accuracy,
    /// Many inferences of five inputs, timed by the device's clock.
    Performance,
}

/// Arguments of `mlperf`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Blob to run
    pub blob: PathBuf,
    /// Model of the benchmark
    #[arg(long)]
    pub model: Model,
    /// Inputs and labels, as in `kws01.npz[::5]`
    #[arg(long, value_name = "DATA")]
    pub data: DatasetSpec,
    /// Board to run it on, a folder of `boards/`
    #[arg(long, default_value = "mps2-an386")]
    pub board: String,
    /// Measurement mode
    #[arg(long, default_value = "accuracy")]
    pub mode: Mode,
    /// Use only the first N inputs
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Inferences per input in performance mode
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub inferences: u32,
    /// Warm-up inferences before the timed ones
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub warmups: u32,
    /// Time limit of one command, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub timeout: u64,
    /// Serial port of the board, or HOST:PORT of a server that forwards bytes; without it, the board is emulated
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Write every line of the conversation to this file
    #[arg(long, value_name = "FILE")]
    pub transcript: Option<PathBuf>,
    /// Write the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Results of the device; the keys are an interface.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the board.
    pub board: String,
    /// Name of the model in the benchmark.
    pub model: &'static str,
    /// Number of inputs run.
    pub inputs: usize,
    /// Number of inputs whose printed results are those of the runtime on the host.
    pub identical: usize,
    /// Share of inputs whose largest result is the labelled one, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Inferences between two timestamps, per measurement.
    pub inferences: u32,
    /// Median over the inputs of the device's time for one inference, in microseconds.
    pub microseconds_per_inference: f64,
}

/// Runs, prints, and fails if a result differs from the host's.
///
/// # Errors
///
/// If the blob cannot be run, or results differ.
pub fn task(args: &Args, environment: &Environment) -> Result<()> {
    let mut transcript = String::new();
    let report = run(args, environment, &mut transcript);
    if let Some(path) = &args.transcript {
        // Of a run that failed, too: it shows where.
        write_atomically(path, transcript.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let report = report?;
    let mut rows = table(&["board", "model", "identical", "top-1", "per inference"]);
    rows.add_row([
        report.board.clone(),
        report.model.to_owned(),
        format!("{} of {}", report.identical, report.inputs),
        percent(report.top1),
        format!("{:.1} us", report.microseconds_per_inference),
    ]);
    say!("{rows}")?;
    write_json(args.json.as_deref(), &report)?;
    if report.identical != report.inputs {
        bail!(
            "{} of {} results are not those of the host",
            report.inputs - report.identical,
            report.inputs
        );
    }
    Ok(())
}

/// Runs and compares; `transcript` gets every line of the conversation, `<` from the device and `>` to it.
///
/// # Errors
///
/// If the blob cannot be run.
pub fn run(args: &Args, environment: &Environment, transcript: &mut String) -> Result<Report> {
    let board = Board::load(&environment.repository()?, &args.board)?;
    let blob =
        fs::read(&args.blob).with_context(|| format!("cannot read {}", args.blob.display()))?;
    let blob = AlignedBlob::new(&blob);
    let simulator = Simulator::new(blob.as_bytes())
        .with_context(|| format!("cannot run {}", args.blob.display()))?;
    let reals = args.model.reals(&simulator)?;
    let table = args.model.table(&simulator)?;
    let (inputs, labels) = inputs(args, &simulator, &reals)?;
    let (emulator, line): (Option<Emulator>, Box<dyn Line>) = match &args.port {
        Some(port) => (None, line::open(port)?),
        None => {
            let application = args.model.application(blob.as_bytes())?;
            let firmware = firmware::build_application(&board, blob.as_bytes(), &application)?;
            let (emulator, line) = Emulator::start(&board, &firmware.elf)?;
            (Some(emulator), Box::new(line))
        }
    };
    let mut runner = Runner {
        line,
        limit: Duration::from_secs(args.timeout),
        transcript,
        pending: Vec::new(),
    };
    if emulator.is_some() {
        runner.until_ready().context("the firmware's greeting")?;
    } else {
        // A board on a cable has greeted long ago, and may have half a command of someone else's.
        runner.ask("")?;
    }
    runner.identify(args.model, &board)?;

    let (inferences, warmups) = match args.mode {
        Mode::Accuracy => (1, 0),
        Mode::Performance => (args.inferences.max(1), args.warmups),
    };
    let mut bar = Bar::default();
    bar.begin(&board.name, inputs.len());
    let (mut identical, mut outputs, mut times) = (0, Vec::new(), Vec::new());
    for (number, input) in inputs.iter().enumerate() {
        let result = runner
            .infer(input, inferences, warmups)
            .with_context(|| format!("input {number}"))?;
        times.push(result.microseconds as f64 / f64::from(inferences));
        let quantized: Vec<i8> = input.iter().map(|byte| table[usize::from(*byte)]).collect();
        let expected = simulator.run(&quantized, None)?.output;
        if printed(&simulator, &expected) == result.values {
            identical += 1;
        } else {
            say!(
                "input {number}: {:?} on the host",
                printed(&simulator, &expected)
            )?;
            say!("input {number}: {:?} on {}", result.values, board.name)?;
        }
        // The order of the printed numbers, as the runner judges them.
        outputs.push(largest(&result.values)?);
        bar.advance(1);
    }
    drop(bar);
    times.sort_by(f64::total_cmp);
    let right = |labels: &[u32]| {
        let pairs = outputs.iter().zip(labels);
        pairs.filter(|(class, label)| class == label).count() as f64 / outputs.len().max(1) as f64
    };
    Ok(Report {
        board: board.name.clone(),
        model: args.model.name(),
        inputs: inputs.len(),
        identical,
        top1: labels.as_deref().map(right),
        inferences,
        microseconds_per_inference: times.get(times.len() / 2).copied().unwrap_or(0.0),
    })
}

/// Bytes of the benchmark per input, and labels if there are any.
type Samples = (Vec<Vec<u8>>, Option<Vec<u32>>);

/// Bytes of the benchmark per input, and the labels.
fn inputs(args: &Args, simulator: &Simulator, reals: &[f32]) -> Result<Samples> {
    /// Inputs of the benchmark's performance mode.
    const TIMED: usize = 5;
    let (layout, transform) = simulator.input_source();
    let data = Dataset::load(&args.data, &layout, &transform)?;
    let mode_limit = match args.mode {
        Mode::Accuracy => usize::MAX,
        Mode::Performance => TIMED,
    };
    let limit = args.limit.unwrap_or(usize::MAX).min(mode_limit);
    if limit == 0 {
        bail!("--limit 0 leaves nothing to run");
    }
    // The byte that stands for the number, which the data set has turned into a real one.
    let byte = |real: f32| -> Result<u8> {
        let nearest = (0..=u8::MAX).min_by(|&a, &b| {
            let distance = |byte: u8| (reals[usize::from(byte)] - real).abs();
            distance(a).total_cmp(&distance(b))
        });
        let byte = nearest.context("there are 256")?;
        let found = reals[usize::from(byte)];
        if (found - real).abs() > 1e-3 * found.abs().max(1e-3) {
            bail!(
                "{}: {real} is not the value of any byte of {}",
                args.data,
                args.model.name()
            );
        }
        Ok(byte)
    };
    let inputs = data
        .inputs
        .chunks_exact(simulator.input_elements())
        .take(limit)
        .map(|input| input.iter().map(|&real| byte(real)).collect())
        .collect::<Result<Vec<Vec<u8>>>>()?;
    let labels = data.labels.map(|mut labels| {
        labels.truncate(limit);
        labels
    });
    Ok((inputs, labels))
}

/// An output as a device prints it: real numbers with three decimals, rounded half away from zero.
fn printed(simulator: &Simulator, output: &[i8]) -> Vec<String> {
    let encoding = simulator.output_encoding();
    output
        .iter()
        .map(|&value| {
            let steps = (i32::from(value) - encoding.zero_point) as f32;
            // Single precision, as the device has it.
            let thousandths = (encoding.scale * steps * 1000.0).round();
            format!("{:.3}", f64::from(thousandths) / 1000.0)
        })
        .map(|text| {
            if text == "-0.000" {
                "0.000".to_owned()
            } else {
                text
            }
        })
        .collect()
}

/// Index of the largest number; the first of equal ones.
fn largest(values: &[String]) -> Result<u32> {
    let mut best: Option<(u32, f64)> = None;
    for (index, text) in (0..).zip(values) {
        let value: f64 = text
            .parse()
            .with_context(|| format!("the result {text:?}"))?;
        if best.is_none_or(|(_, largest)| value > largest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index).context("there are no results")
}

/// Results of an `infer` command.
struct Results {
    values: Vec<String>,
    /// Time between the two timestamps.
    microseconds: u64,
}

/// The host's side of a conversation.
struct Runner<'t> {
    line: Box<dyn Line>,
    limit: Duration,
    transcript: &'t mut String,
    /// Bytes of an incomplete line.
    pending: Vec<u8>,
}

impl Runner<'_> {
    /// Requests name and model.
    fn identify(&mut self, model: Model, board: &Board) -> Result<()> {
        let name = self.command("name")?;
        let name = field(&name, "m-name-dut-[").context("the firmware did not say its name")?;
        if name != board.name {
            bail!(
                "the firmware on the board is for {name}, not for {}",
                board.name
            );
        }
        let profile = self.command("profile")?;
        let found = field(&profile, "m-model-[").context("the firmware did not say its model")?;
        if found != model.name() {
            bail!("the firmware is for {found}, not for {}", model.name());
        }
        Ok(())
    }

    /// Loads an input and runs it.
    fn infer(&mut self, input: &[u8], inferences: u32, warmups: u32) -> Result<Results> {
        self.command(&format!("db load {}", input.len()))?;
        let mut last = Vec::new();
        for bytes in input.chunks(CHUNK_BYTES) {
            let mut command = "db ".to_owned();
            for byte in bytes {
                // Writing to a string cannot fail.
                let _ = write!(command, "{byte:02x}");
            }
            last = self.command(&command)?;
        }
        if !last.iter().any(|line| line == "m-load-done") {
            bail!("the input did not arrive as a whole");
        }
        let lines = self.command(&format!("infer {inferences} {warmups}"))?;
        let times: Vec<u64> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("m-lap-us-")?.parse().ok())
            .collect();
        let [start, end] = times[..] else {
            bail!("`infer` gave {} timestamps, not 2", times.len());
        };
        let values = field(&lines, "m-results-[").context("`infer` gave no results")?;
        Ok(Results {
            values: values.split(',').map(str::to_owned).collect(),
            microseconds: end.checked_sub(start).context("time ran backwards")?,
        })
    }

    /// Sends a command and reads its answer up to `m-ready`; an error answer is an error here too.
    fn command(&mut self, command: &str) -> Result<Vec<String>> {
        let lines = self.ask(command)?;
        match lines.iter().find(|line| line.starts_with("e-")) {
            None => Ok(lines),
            Some(error) => bail!("`{command}` was answered with {error}"),
        }
    }

    /// Sends a command and reads its answer, which may be an error.
    fn ask(&mut self, command: &str) -> Result<Vec<String>> {
        let _ = writeln!(self.transcript, "> {command}%");
        self.line.send(format!("{command}%").as_bytes())?;
        self.until_ready()
            .with_context(|| format!("the answer to `{command}`"))
    }

    /// Reads lines up to `m-ready`, which is not returned.
    fn until_ready(&mut self) -> Result<Vec<String>> {
        let start = Instant::now();
        let mut lines = Vec::new();
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                let _ = writeln!(self.transcript, "< {line}");
                if line == "m-ready" {
                    return Ok(lines);
                }
                lines.push(line.to_owned());
            }
            let Some(rest) = self.limit.checked_sub(start.elapsed()) else {
                bail!("no `m-ready` in {} s", self.limit.as_secs());
            };
            let mut bytes = [0; 512];
            let count = self.line.receive(&mut bytes, rest)?;
            self.pending.extend(&bytes[..count]);
        }
    }
}

/// Text between a prefix and the closing bracket, in the first line that has both.
fn field<'l>(lines: &'l [String], prefix: &str) -> Option<&'l str> {
    lines
        .iter()
        .find_map(|line| line.strip_prefix(prefix)?.strip_suffix(']'))
}
