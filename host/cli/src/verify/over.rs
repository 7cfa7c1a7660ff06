//! The device's side of `verify`, over each transport.

use std::{fs, net::TcpStream, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use fewbit::progress::Progress as _;
use fewbit_device::{
    board::Board,
    firmware::{self, Application, Firmware},
    link::{
        Client, Patience,
        emulator::Emulator,
        line,
        rtt::{self, RttLine},
    },
    probe,
    semihosted::{self, Options},
};
use fewbit_protocol::{CRC32, message::Unit};
use fewbit_runtime::AlignedBlob;

use super::args::{Args, LIMIT, Transport};
use crate::Bar;

/// Rounds of the loop that checks a counter.
const SPIN_ROUNDS: u32 = 100_000;

/// Results of a device; sizes in bytes.
pub(super) struct Found {
    pub(super) outputs: Vec<Vec<i8>>,
    pub(super) costs: Vec<u64>,
    pub(super) unit: Unit,
    pub(super) arena_bytes: usize,
    pub(super) stack_bytes: usize,
    pub(super) flash_bytes: u64,
    pub(super) blob_bytes: u64,
    pub(super) static_ram_bytes: u64,
}

/// Firmware that runs inputs.
pub(super) trait Device {
    /// Runs all inputs.
    fn run(&mut self, inputs: &[Vec<i8>]) -> Result<Found>;

    /// Checksum of each operator's output.
    fn operator_crcs(&mut self, input: &[i8]) -> Result<Vec<u32>>;

    /// All bytes of one operator's output.
    fn operator_bytes(&mut self, input: &[i8], op: usize) -> Result<Vec<i8>>;
}

/// Builds the firmware if needed, and connects to the device that the arguments name.
pub(super) fn open(
    board: &Board,
    blob: &AlignedBlob,
    path: &Path,
    args: &Args,
) -> Result<Box<dyn Device>> {
    let limit = args.timeout.map(Duration::from_secs);
    let transport = match (args.transport, &args.port) {
        (Some(transport), _) => transport,
        (None, Some(_)) => Transport::Serial,
        (None, None) if board.qemu.is_some() => Transport::Semihosting,
        (None, None) => Transport::Serial,
    };
    let context = || format!("firmware of {} for {}", board.name, path.display());
    let linked = |line: Box<dyn line::Line>, firmware: Firmware, ends: Ends| {
        let mut patience = Patience::default();
        if let Some(limit) = limit {
            patience.work = limit;
        }
        let linked = Linked::new(board, firmware, line, patience, ends)?;
        linked.check_blob(blob.as_bytes())?;
        Ok(Box::new(linked) as Box<dyn Device>)
    };
    match transport {
        Transport::Semihosting => {
            if args.port.is_some() {
                bail!("--port is for --transport serial and rtt");
            }
            let firmware = firmware::build_bytes(board, blob.as_bytes()).with_context(context)?;
            let limit = limit.unwrap_or(LIMIT);
            Ok(Box::new(Semihosted::new(board, firmware, limit)))
        }
        Transport::Serial => {
            let firmware =
                firmware::build_application(board, blob.as_bytes(), &Application::Serial)
                    .with_context(context)?;
            let (emulator, line) = match &args.port {
                Some(port) => (None, line::open(port)?),
                None if board.qemu.is_some() => {
                    let (emulator, line) = Emulator::start(board, &firmware.elf)?;
                    let line: Box<dyn line::Line> = Box::new(line);
                    (Some(emulator), line)
                }
                None => bail!(
                    "give the port of {} with --port, such as --port /dev/ttyACM0",
                    board.name
                ),
            };
            linked(
                line,
                firmware,
                Ends {
                    emulator,
                    _server: None,
                },
            )
        }
        Transport::Rtt => {
            let firmware = firmware::build_application(board, blob.as_bytes(), &Application::Rtt)
                .with_context(context)?;
            let elf = fs::read(&firmware.elf)
                .with_context(|| format!("cannot read {}", firmware.elf.display()))?;
            let block = rtt::block_of(&elf)?;
            let mut ends = Ends::default();
            let stream = match &args.port {
                Some(port) => TcpStream::connect(port).with_context(|| {
                    format!("cannot connect to {port}; it must be HOST:PORT of a GDB server")
                })?,
                None if board.qemu.is_some() => {
                    let (emulator, stream) = Emulator::debugged(board, &firmware.elf)?;
                    ends.emulator = Some(emulator);
                    stream
                }
                None => {
                    let (server, stream) = probe::debug_server(board)?;
                    ends._server = Some(server);
                    stream
                }
            };
            stream
                .set_nodelay(true)
                .context("the connection to the debug server")?;
            let line = RttLine::new(stream, block)?;
            linked(Box::new(line), firmware, ends)
        }
    }
}

/// A board in the emulator, with a job file.
pub(super) struct Semihosted {
    board: Board,
    firmware: Firmware,
    limit: Duration,
}

impl Semihosted {
    pub(super) fn new(board: &Board, firmware: Firmware, limit: Duration) -> Self {
        Self {
            board: board.clone(),
            firmware,
            limit,
        }
    }
}

impl Device for Semihosted {
    fn run(&mut self, inputs: &[Vec<i8>]) -> Result<Found> {
        let options = Options {
            limit: self.limit,
            ..Options::default()
        };
        let report = semihosted::run_firmware_showing(
            &self.board,
            &self.firmware,
            inputs,
            &options,
            &mut Bar::default(),
        )?;
        Ok(Found {
            outputs: report.outputs,
            costs: report.instructions,
            unit: Unit::Instructions,
            arena_bytes: report.arena_bytes,
            stack_bytes: report.stack_bytes,
            flash_bytes: report.flash_bytes,
            blob_bytes: report.blob_bytes,
            static_ram_bytes: report.static_ram_bytes,
        })
    }

    fn operator_crcs(&mut self, input: &[i8]) -> Result<Vec<u32>> {
        let options = Options {
            operators: true,
            ..Options::default()
        };
        let inputs = [input.to_vec()];
        let report = semihosted::run_firmware(&self.board, &self.firmware, &inputs, &options)?;
        Ok(report.operators.concat().iter().map(|op| op.crc).collect())
    }

    fn operator_bytes(&mut self, input: &[i8], op: usize) -> Result<Vec<i8>> {
        semihosted::operator_bytes(&self.board, &self.firmware, input, op)
    }
}

/// A board that answers over a serial line.
struct Linked {
    board: Board,
    firmware: Firmware,
    client: Client,
    /// Dropped after the line, whose end says goodbye to it.
    _ends: Ends,
}

/// Process or device behind a line.
#[derive(Default)]
struct Ends {
    emulator: Option<Emulator>,
    _server: Option<probe::Server>,
}

impl Linked {
    fn new(
        board: &Board,
        firmware: Firmware,
        line: Box<dyn line::Line>,
        patience: Patience,
        mut ends: Ends,
    ) -> Result<Self> {
        let client = match Client::connect(line, patience) {
            Ok(client) => client,
            Err(error) => {
                let emulator = ends.emulator.take();
                let words = emulator.map(Emulator::last_words).unwrap_or_default();
                let error = anyhow::Error::from(error);
                return Err(if words.is_empty() {
                    error
                } else {
                    error.context(format!("the firmware's last message: {words}"))
                });
            }
        };
        if client.identity().board != board.name {
            bail!(
                "the firmware on the board is for {}, not for {}",
                client.identity().board,
                board.name
            );
        }
        Ok(Self {
            board: board.clone(),
            firmware,
            client,
            _ends: ends,
        })
    }

    fn check_blob(&self, blob: &[u8]) -> Result<()> {
        let identity = self.client.identity();
        if identity.blob_crc != CRC32.checksum(blob) || identity.blob_bytes as usize != blob.len() {
            bail!(
                "{} holds another model: of {} bytes with CRC-32 {:08x}, and the blob has {} bytes with {:08x}; flash it first",
                self.board.name,
                identity.blob_bytes,
                identity.blob_crc,
                blob.len(),
                CRC32.checksum(blob)
            );
        }
        Ok(())
    }
}

impl Device for Linked {
    fn run(&mut self, inputs: &[Vec<i8>]) -> Result<Found> {
        let unit = self.client.identity().unit;
        let spun = self.client.spin(SPIN_ROUNDS)?;
        if unit == Unit::Instructions {
            semihosted::check_counter(&self.board, SPIN_ROUNDS, spun)?;
        } else if spun == 0 {
            bail!(
                "the counter of {} does not count: a loop of {} instructions cost nothing",
                self.board.name,
                2 * u64::from(SPIN_ROUNDS)
            );
        }
        let mut bar = Bar::default();
        bar.begin(&self.board.name, inputs.len());
        let (mut outputs, mut costs) = (Vec::new(), Vec::new());
        for (number, input) in inputs.iter().enumerate() {
            let inference = self
                .client
                .infer(input)
                .with_context(|| format!("input {number}"))?;
            outputs.push(inference.output);
            costs.push(inference.cost);
            bar.advance(1);
        }
        drop(bar);
        let stack_bytes = self.client.stack_bytes()?;
        semihosted::check_stack(
            &self.board,
            self.firmware.static_ram_bytes,
            stack_bytes.into(),
        )?;
        if self.client.resent() != 0 {
            say!(
                "requests sent again, as the answer was lost or late: {}",
                self.client.resent()
            )?;
        }
        Ok(Found {
            outputs,
            costs,
            unit,
            arena_bytes: self.client.identity().arena_bytes as usize,
            stack_bytes: stack_bytes as usize,
            flash_bytes: self.firmware.flash_bytes,
            blob_bytes: self.firmware.blob_bytes,
            static_ram_bytes: self.firmware.static_ram_bytes,
        })
    }

    fn operator_crcs(&mut self, input: &[i8]) -> Result<Vec<u32>> {
        let steps = self.client.operators(input)?;
        Ok(steps.iter().map(|ran| ran.output_crc).collect())
    }

    fn operator_bytes(&mut self, input: &[i8], op: usize) -> Result<Vec<i8>> {
        let op = u32::try_from(op).with_context(|| format!("operator {op}"))?;
        Ok(self.client.operator_output(input, op)?.output)
    }
}
