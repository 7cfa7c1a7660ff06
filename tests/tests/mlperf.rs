//! MLPerf Tiny's device interface, over the emulated UART.
//!
//! Needs the feature `device`, which `cargo xtask test` turns on.

#![cfg(feature = "device")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use fewbit_cli::mlperf::{self, Mode, Model};
use fewbit_device::board::Board;
use fewbit_device::firmware::{self, Application};
use fewbit_device::link::emulator::Emulator;
use fewbit_device::sample;
use fewbit_tests::models;
use fewbit_tests::networks::{Net, Network};
use fewbit_tests::{environment, repository};

const M4: &str = "mps2-an386";

/// Bytes of the sample model's input.
const SIZE: u16 = 20;

/// A terminal, with nothing of the command's own runner.
struct Terminal(TcpStream);

impl Terminal {
    /// Lines up to `m-ready`.
    fn answer(&mut self) -> Vec<String> {
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with("m-ready\r\n") {
            self.0.read_exact(&mut byte).expect("an answer in time");
            text.push(char::from(byte[0]));
        }
        let lines = text.strip_suffix("m-ready\r\n").expect("its end");
        assert!(lines.is_empty() || lines.ends_with("\r\n"), "{lines:?}");
        lines.lines().map(str::to_owned).collect()
    }

    fn ask(&mut self, command: &str) -> Vec<String> {
        write!(self.0, "{command}%").expect("the emulator runs");
        self.answer()
    }

    fn error(&mut self, command: &str) -> String {
        let lines = self.ask(command);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let error = lines[0]
            .strip_prefix("e-[")
            .and_then(|line| line.strip_suffix(']'));
        error
            .unwrap_or_else(|| panic!("{} is no error", lines[0]))
            .to_owned()
    }
}

/// Two timestamps around the inferences, in microseconds.
fn elapsed(lines: &[String]) -> u64 {
    let laps: Vec<u64> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("m-lap-us-"))
        .map(|lap| lap.parse().expect("a number"))
        .collect();
    assert_eq!(laps.len(), 2, "{lines:?}");
    laps[1] - laps[0]
}

/// Lines that the benchmark's runner reads; the expected lines are those of its own firmware.
#[test]
fn the_runners_commands_are_answered() {
    let board = Board::load(repository(), M4).expect("known");
    let blob = sample::two_tables(SIZE).expect("a blob");
    // The benchmark's bytes 0 to 255 are the model's -128 to 127.
    let table: Vec<i8> = (0..=u8::MAX)
        .map(|byte| (byte ^ 0x80).cast_signed())
        .collect();
    let application = Application::Mlperf {
        model: "ic01",
        table: table.into_boxed_slice().try_into().expect("256 values"),
    };
    let firmware = firmware::build_application(&board, &blob, &application).expect("builds");
    let (_emulator, line) = Emulator::start(&board, &firmware.elf).expect("starts");
    line.set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    let mut dut = Terminal(line);

    assert_eq!(
        dut.answer(),
        ["m-timestamp-mode-performance", "m-init-done"]
    );
    assert_eq!(dut.ask("name"), ["m-name-dut-[mps2-an386]"]);
    assert_eq!(
        dut.ask("profile"),
        [
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            "m-model-[ic01]"
        ]
    );
    assert!(dut.ask("timestamp")[0].starts_with("m-lap-us-"));
    assert!(dut.ask("help").len() > 5);
    assert!(dut.ask("").is_empty());

    // What a runner would not say, and what it may say too early.
    assert!(dut.error("reboot").contains("reboot"));
    assert!(dut.error("infer 1 0").contains("0 of 20"));
    assert!(dut.error("db load 21").contains("20"));
    assert!(dut.error("db load 0").contains("20"));
    assert!(dut.error("db load many").contains("20"));
    assert!(dut.error("db").contains("subcommand"));
    assert!(dut.error("infer 0 0").contains(">0"));
    assert!(dut.error("infer -1").contains(">0"));
    assert!(dut.error("infer 1 -1").contains(">=0"));
    assert!(dut.error(&"name ".repeat(40)).contains("80"));

    // Bytes 0x80 and on are the values 0, 1, 2 and so on.
    assert_eq!(dut.ask("db load 20"), ["m-[Expecting 20 bytes]"]);
    assert!(dut.error("db 808").contains("digits"));
    assert!(dut.error("db 8x").contains("digits"));
    assert!(dut.ask("db 8081828384858687888990").is_empty());
    assert!(dut.error("infer 1 0").contains("11 of 20"));
    assert_eq!(dut.ask("db 9192939495969798FF77"), ["m-load-done"]);
    assert_eq!(
        dut.ask("db print"),
        [
            "m-buffer-80-81-82-83-84-85-86-87",
            "m-buffer-88-89-90-91-92-93-94-95",
            "m-buffer-96-97-98-ff"
        ]
    );
    assert_eq!(dut.ask("db print 3 17"), ["m-buffer-97-98-ff"]);
    assert!(dut.ask("db print 3 20").is_empty());

    let lines = dut.ask("infer 4 2");
    let start = ["m-warmup-start-2", "m-warmup-done", "m-infer-start-4"];
    assert_eq!(lines[..3], start);
    assert_eq!(lines[5], "m-infer-done");
    // The model negates, then adds 3: 0 becomes 3, 127 becomes -124.
    let values = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23, 24, 127,
    ];
    let results: Vec<String> = values
        .iter()
        .map(|value| format!("{}.000", 3 - value))
        .collect();
    let results = format!("m-results-[{}]", results.join(","));
    assert_eq!(lines[6..], *std::slice::from_ref(&results));
    assert_eq!(dut.ask("results"), [results]);

    // Time is the inferences' own: ten times as many take ten times as long.
    let (few, many) = (
        elapsed(&dut.ask("infer 100 0")),
        elapsed(&dut.ask("infer 1000 0")),
    );
    assert!(
        few > 0 && many.abs_diff(10 * few) < few,
        "{few} us and {many} us"
    );
}

/// The whole way with a real network: labels, results and time by the benchmark's interface.
#[test]
fn keywords_have_the_hosts_results() {
    const COUNT: usize = 40;
    let Some(network) = Network::load(Net::Kws).expect("loads") else {
        return models::skipped();
    };
    let packing = Board::load(repository(), M4).expect("known").isa;
    let quantized = network.quantize_for(packing).expect("quantizes");
    let folder = tempfile::tempdir().expect("a folder");
    let blob = folder.path().join("kws.fewbit");
    std::fs::write(&blob, quantized.blob.as_bytes()).expect("writes");
    let data = models::folder().expect("there").join("kws/kws01.npz");
    let args = mlperf::Args {
        blob,
        model: Model::Kws01,
        data: format!("{}[!::5]", data.display())
            .parse()
            .expect("well formed"),
        board: M4.to_owned(),
        mode: Mode::Accuracy,
        limit: Some(COUNT),
        inferences: 1,
        warmups: 0,
        timeout: 120,
        port: None,
        transcript: None,
        json: None,
    };
    let mut transcript = String::new();
    let report = mlperf::run(&args, &environment(), &mut transcript).expect("runs");
    assert_eq!((report.inputs, report.identical), (COUNT, COUNT));
    assert!(report.top1.expect("labelled") > 0.8, "{report:?}");
    let results = transcript
        .lines()
        .filter(|line| line.starts_with("< m-results-["));
    assert_eq!(results.count(), COUNT);
    let timed = mlperf::Args {
        mode: Mode::Performance,
        limit: Some(2),
        inferences: 5,
        warmups: 1,
        ..args
    };
    let timed = mlperf::run(&timed, &environment(), &mut transcript).expect("runs");
    assert_eq!((timed.inputs, timed.identical), (2, 2));
    // One instruction takes a nanosecond in the emulator: some 3.2 million.
    assert!(
        (3000.0..3500.0).contains(&timed.microseconds_per_inference),
        "{timed:?}"
    );
}
