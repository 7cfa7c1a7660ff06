//! The `fewbit` command as a user calls it: outputs, reports, exit codes, errors.

#![allow(
    clippy::disallowed_methods,
    reason = "tests compare with the system's functions"
)]

use std::path::{Path, PathBuf};

mod common;

use common::{QUICK, Session};
use fewbit::measure::simulate::Simulator;
use fewbit_runtime::format::write::assemble;
use fewbit_runtime::{AlignedBlob, Metadata, ProgramParts};

impl Session {
    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).expect("written")).expect("JSON")
    }
}

fn digits(name: &str) -> String {
    common::digits(name).to_str().expect("text").to_owned()
}

/// Input transform of the digits network.
const PREPARED: [&str; 6] = [
    "--input-divisor",
    "256",
    "--input-mean",
    "0.3",
    "--input-std",
    "0.35",
];

#[test]
fn quantize_without_arguments_reports_and_is_reproducible() {
    let session = Session::new();
    let text = session.succeed(&["quantize", "--json", "report.json"]);
    for word in [
        "float",
        "fake-quantized",
        "integer engine",
        "98.60 %",
        "digits.fewbit",
        "packed  for any processor",
        "`quantize --target`",
    ] {
        assert!(text.contains(word), "{word} is missing in:\n{text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "colour although this is no terminal"
    );

    let report = session.json("report.json");
    assert_eq!(report["model"], "digits");
    assert_eq!(report["samples"], 500);
    assert_eq!(report["float"]["top1"], 0.986);
    assert!(report["integer"]["top1"].as_f64().expect("a number") >= 0.97);
    let sqnr = |form: &str| report[form]["sqnr_db"].as_f64().expect("a number");
    assert!(
        (sqnr("simulated") - sqnr("integer")).abs() <= 0.3,
        "{} and {}",
        sqnr("simulated"),
        sqnr("integer")
    );
    assert!(
        report["float"].get("sqnr_db").is_none(),
        "float has no noise against itself"
    );
    for key in [
        "recipe",
        "blob_bytes",
        "weight_bytes",
        "arena_bytes",
        "macs",
        "seconds",
    ] {
        assert!(report.get(key).is_some(), "{key} is missing");
    }
    let blob = std::fs::read(session.path("digits.fewbit")).expect("written");
    assert_eq!(report["blob_bytes"], blob.len());

    // Again, on one thread, from the recipe that was written.
    let again = session
        .command(&[
            "quantize",
            "--recipe",
            "digits.recipe.toml",
            "--out",
            "again.fewbit",
        ])
        .env("RAYON_NUM_THREADS", "1")
        .status();
    assert!(again.expect("starts").success());
    assert_eq!(
        std::fs::read(session.path("again.fewbit")).expect("written"),
        blob
    );
}

#[test]
fn the_same_model_from_a_file_gives_the_same_numbers() {
    let session = Session::new();
    session.succeed(&[
        "quantize",
        "--out",
        "built-in.fewbit",
        "--json",
        "built-in.json",
    ]);
    let (model, data) = (digits("digits.onnx"), digits("digits.npz"));
    let calibration = format!("{data}:x_train,y_train[0:512]");
    let evaluation = format!("{data}:x_test,y_test");
    let files = ["--calibration", &calibration, "--eval", &evaluation];
    let rest = ["--input-range", "0,256", "--out", "file.fewbit"];
    let quantize = ["quantize", &model, "--json", "file.json"];
    session.succeed(&[&quantize[..], &files, &PREPARED, &rest].concat());
    let read = |name: &str| std::fs::read(session.path(name)).expect("written");
    assert_eq!(read("built-in.fewbit"), read("file.fewbit"));
    assert_eq!(
        session.json("built-in.json")["integer"],
        session.json("file.json")["integer"]
    );
}

#[test]
fn int4_and_per_tensor_are_other_blobs() {
    let session = Session::new();
    let quantize = |name: &str, args: &[&str]| {
        let (blob, report) = (format!("{name}.fewbit"), format!("{name}.json"));
        let named = ["quantize", "--out", &blob, "--json", &report];
        session.succeed(&[&named[..], args, &QUICK].concat());
    };
    quantize("int8", &[]);
    quantize("int4", &["--weights", "int4"]);
    quantize("tensor", &["--granularity", "per-tensor"]);
    let number = |name: &str, key: &str| session.json(name)[key].as_u64().expect("a number");
    let (int8, int4) = (
        number("int8.json", "weight_bytes"),
        number("int4.json", "weight_bytes"),
    );
    assert!(
        int4 * 2 >= int8 && int4 * 100 <= int8 * 52,
        "{int4} of {int8} bytes"
    );
    assert_eq!(number("tensor.json", "weight_bytes"), int8);
    assert_ne!(
        std::fs::read(session.path("tensor.fewbit")).expect("written"),
        std::fs::read(session.path("int8.fewbit")).expect("written")
    );
}

#[test]
fn run_eval_and_inspect_agree_with_quantize() {
    let session = Session::new();
    session.succeed(&["quantize", "--json", "report.json"]);
    let test = format!("{}:x_test,y_test", digits("digits.npz"));
    let model = digits("digits.onnx");

    session.succeed(&[
        "eval",
        "digits.fewbit",
        "--data",
        &test,
        "--reference",
        &model,
        "--json",
        "eval.json",
    ]);
    let (quantized, evaluated) = (session.json("report.json"), session.json("eval.json"));
    assert_eq!(evaluated["top1"], quantized["integer"]["top1"]);

    session.succeed(&[
        "run",
        "digits.fewbit",
        "--input",
        &test,
        "--output",
        "int8.npy",
    ]);
    session.succeed(&[
        "run",
        "digits.fewbit",
        "--input",
        &test,
        "--output",
        "real.npy",
        "--float",
    ]);
    session.succeed(&[
        "run",
        &model,
        "--recipe",
        "digits.recipe.toml",
        "--input",
        &test,
        "--output",
        "float.npy",
    ]);
    let bytes: ndarray::ArrayD<i8> = ndarray_npy::read_npy(session.path("int8.npy")).expect("int8");
    let real: ndarray::ArrayD<f32> =
        ndarray_npy::read_npy(session.path("real.npy")).expect("float");
    let float: ndarray::ArrayD<f32> =
        ndarray_npy::read_npy(session.path("float.npy")).expect("float");
    assert_eq!(bytes.len(), 5000);
    assert_eq!(real.len(), 5000);
    assert_eq!(float.len(), 5000);
    let noise: f32 = real
        .iter()
        .zip(&float)
        .map(|(a, b)| (a - b) * (a - b))
        .sum();
    let signal: f32 = float.iter().map(|b| b * b).sum();
    let sqnr = 10.0 * (signal / noise).log10();
    let expected = quantized["integer"]["sqnr_db"].as_f64().expect("a number");
    assert!(
        (f64::from(sqnr) - expected).abs() < 0.01,
        "{sqnr} and {expected}"
    );

    let text = session.succeed(&["inspect", "digits.fewbit", "--json", "inspect.json"]);
    assert!(text.contains("depthwise_conv_2d"), "{text}");
    assert_eq!(session.json("inspect.json")["macs"], quantized["macs"]);
    assert!(session.succeed(&["inspect", &model]).contains("batch_norm"));
}

#[test]
fn bad_input_is_an_error_that_names_the_file_and_leaves_nothing() {
    let session = Session::new();
    session.succeed(&["quantize"]);
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(session.path(name), bytes).expect("written");
    write("noise.onnx", &[0xff; 1000]);
    write("empty.npz", b"");
    write("typo.toml", b"[weights]\nbitz = 4\n");
    let mut blob = std::fs::read(session.path("digits.fewbit")).expect("written");
    blob[100] ^= 1;
    write("broken.fewbit", &blob);
    write("short.fewbit", &blob[..40]);
    let data = digits("digits.npz");
    let cases: [(&[&str], &str); 9] = [
        (
            &["quantize", "missing.onnx", "--calibration", &data],
            "missing.onnx",
        ),
        (
            &["quantize", "noise.onnx", "--calibration", &data],
            "noise.onnx",
        ),
        (&["quantize", "--calibration", "empty.npz"], "empty.npz"),
        (&["quantize", "--calibration", &data], "x_train"),
        (&["quantize", "--recipe", "typo.toml"], "bitz"),
        (&["quantize", &digits("digits.onnx")], "--calibration"),
        (
            &[
                "run",
                "broken.fewbit",
                "--input",
                &data,
                "--output",
                "y.npy",
            ],
            "broken.fewbit",
        ),
        (&["inspect", "short.fewbit"], "short.fewbit"),
        (
            &[
                "eval",
                "digits.fewbit",
                "--data",
                &format!("{data}:x_test,y_train"),
            ],
            "y_train",
        ),
    ];
    for (args, word) in cases {
        let message = session.fail(args, 1);
        assert!(
            message.contains(word),
            "{args:?}: {word} is missing in: {message}"
        );
    }
    session.fail(&["quantize", "--weights", "int3"], 2);
    session.fail(&["quantize", "--calibration", "data.npz[1:"], 2);
}

#[test]
fn memory_is_estimated_before_it_is_taken() {
    let session = Session::new();
    let message = session.fail(&["quantize", "--memory", "1", "--out", "a.fewbit"], 1);
    let (_, advice) = message.split_once("--memory ").expect("says how much");
    let enough = advice.split_whitespace().next().expect("a number");
    session.succeed(&["quantize", "--memory", enough, "--out", "a.fewbit"]);
    session.succeed(&["quantize", "--out", "b.fewbit"]);
    let blob = |name: &str| std::fs::read(session.path(name)).expect("written");
    assert!(blob("a.fewbit") == blob("b.fewbit"));
    session.fail(&["quantize", "--memory", "2GB"], 2);
}

/// The file's header says how many samples there are; what they hold is not looked at.
#[test]
fn too_many_samples_are_refused_before_they_are_read() {
    let session = Session::new();
    let file = std::fs::File::open(digits("digits.npz")).expect("built in");
    let mut npz = ndarray_npy::NpzReader::new(file).expect("built in");
    let x: ndarray::ArrayD<u16> = npz.by_name("x_test").expect("built in");
    let unreadable = x.mapv(|_| f32::NAN);
    let file = std::fs::File::create(session.path("d.npz")).expect("a file");
    let mut npz = ndarray_npy::NpzWriter::new_compressed(file);
    npz.add_array("x", &unreadable).expect("written");
    npz.add_array("flat", &ndarray::ArrayD::<u8>::zeros(&[1000][..]))
        .expect("written");
    npz.finish().expect("written");
    let model = digits("digits.onnx");
    let fail = |data: &str, memory: &str| {
        let args = ["quantize", &model, "--calibration", data];
        session.fail(&[&args[..], &["--memory", memory]].concat(), 1)
    };
    for (data, samples) in [("d.npz", x.shape()[0]), ("d.npz:x[:7]", 7)] {
        let message = fail(data, "1");
        let said = format!("with {samples} samples this takes about");
        assert!(message.contains(&said), "{message}");
        assert!(!message.contains("failed"), "{message}");
        let message = fail(data, "2000");
        assert!(message.contains("sample 0"), "{message}");
    }
    // What is wrong with a file is said first.
    let message = fail("d.npz:flat", "1");
    assert!(message.contains("1000"), "{message}");
    assert!(!message.contains("--memory"), "{message}");
}

#[test]
fn synthetic_samples_are_not_taken_for_given_ones() {
    let session = Session::new();
    let data_free = ["quantize", "--data-free", "--memory", "1"];
    let message = session.fail(&data_free, 1);
    assert!(message.contains("192 synthetic samples"), "{message}");
    assert!(!message.contains("failed"), "{message}");
}

#[test]
fn help_names_every_command_and_option() {
    let session = Session::new();
    let help = session.succeed(&["--help"]);
    for command in ["quantize", "eval", "run", "inspect"] {
        assert!(help.contains(command));
        assert!(session.succeed(&[command, "--help"]).contains("--json"));
    }
    let help = session.succeed(&["quantize", "--help"]);
    for option in [
        "--calibration",
        "--eval",
        "--weights",
        "--granularity",
        "--recipe",
        "--out",
    ] {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn a_model_is_quantized_without_samples() {
    let session = Session::new();
    let model = digits("digits.onnx");
    let run = |range: &[&str]| {
        let arguments = [
            &["quantize", &model, "--data-free", "--out", "free.fewbit"][..],
            &PREPARED,
            range,
        ];
        session.run(&arguments.concat())
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--input-range"));
    let refused = run(&["--input-range", "5"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("two numbers"));
    assert!(!session.path("free.fewbit").exists(), "nothing is written");
    let done = run(&["--input-range", "0,256"]);
    assert!(done.status.success());
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        printed.contains("from BatchNorm statistics") && printed.contains("uniform noise"),
        "{printed}"
    );
}

/// A model of the cases with inputs `x` and onnxruntime's outputs `expected` in [n, c, h, w].
fn convolution(file: &str) -> String {
    let folder =
        std::path::absolute("../../tests/cases/opset22_plain_conv").expect("a current folder");
    folder.join(file).to_str().expect("text").to_owned()
}

fn array<T: ndarray_npy::ReadableElement>(path: PathBuf) -> ndarray::ArrayD<T> {
    ndarray_npy::read_npy(path).expect("an array")
}

#[test]
fn run_writes_outputs_as_the_model_has_them() {
    let session = Session::new();
    let (model, data) = (convolution("model.onnx"), convolution("data.npz"));
    let file = std::fs::File::open(&data).expect("the case");
    let mut npz = ndarray_npy::NpzReader::new(file).expect("the case");
    let expected: ndarray::ArrayD<f32> = npz.by_name("expected").expect("the case");
    let shape = expected.shape().to_vec();
    let [_, c, h, w] = shape[..] else {
        panic!("{shape:?} is no batch of images");
    };
    let run = |model: &str, flags: &[&str]| {
        let mut args = vec!["run", model, "--input", &data, "--output", "y.npy"];
        args.extend(["--json", "y.json"]);
        args.extend(flags);
        session.succeed(&args)
    };
    let near = |found: &ndarray::ArrayD<f32>, expected: &ndarray::ArrayD<f32>, tolerance: f32| {
        assert_eq!(found.shape(), expected.shape());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "{found}, {expected}");
        }
    };

    let text = run(&model, &[]);
    near(&array(session.path("y.npy")), &expected, 1e-5);
    assert!(text.contains(&format!("{:?}", [c, h, w])), "{text}");
    assert!(text.contains(&format!("{:?}", [h, w, c])), "{text}");
    let report = session.json("y.json");
    assert_eq!(report["shape"], serde_json::json!([c, h, w]));
    assert_eq!(report["model_shape"], serde_json::json!([c, h, w]));
    assert_eq!(report["device_shape"], serde_json::json!([h, w, c]));
    assert_eq!(report["file_shape"], serde_json::json!(shape));

    let on_device = expected.clone().permuted_axes(&[0, 2, 3, 1][..]);
    run(&model, &["--device-layout"]);
    near(&array(session.path("y.npy")), &on_device, 1e-5);
    assert_eq!(
        session.json("y.json")["shape"],
        serde_json::json!([h, w, c])
    );

    let calibration = format!("{data}:x");
    session.succeed(&[
        "quantize",
        &model,
        "--calibration",
        &calibration,
        "--out",
        "m.fewbit",
    ]);
    // A blob holds its model's layout.
    let largest = expected
        .iter()
        .fold(0.0_f32, |max, value| max.max(value.abs()));
    let text = run("m.fewbit", &["--float"]);
    assert!(!text.contains("--layout-of"), "{text}");
    near(&array(session.path("y.npy")), &expected, largest / 50.0);
    let report = session.json("y.json");
    assert_eq!(report["shape"], serde_json::json!([c, h, w]));
    assert_eq!(report["device_shape"], serde_json::json!([h, w, c]));
    run("m.fewbit", &["--float", "--device-layout"]);
    near(&array(session.path("y.npy")), &on_device, largest / 50.0);
    run("m.fewbit", &[]);
    let bytes: ndarray::ArrayD<i8> = array(session.path("y.npy"));
    assert_eq!(bytes.shape(), shape);
    let targets = format!("{data}:x,expected");
    session.succeed(&["eval", "m.fewbit", "--data", &targets, "--json", "e.json"]);
    let rmse = session.json("e.json")["rmse"].as_f64();
    assert!(rmse.is_some_and(|rmse| rmse < f64::from(largest) / 50.0));

    // The first blobs did not hold it, and that is said; the model gives it.
    without_layout(&session.path("m.fewbit"));
    let text = run("m.fewbit", &["--float"]);
    assert!(text.contains("--layout-of"), "{text}");
    near(&array(session.path("y.npy")), &on_device, largest / 50.0);
    let message = session.fail(&["eval", "m.fewbit", "--data", &targets], 1);
    assert!(message.contains("--reference"), "{message}");
    run("m.fewbit", &["--float", "--layout-of", &model]);
    near(&array(session.path("y.npy")), &expected, largest / 50.0);
    run("m.fewbit", &["--layout-of", &model]);
    assert_eq!(array::<i8>(session.path("y.npy")), bytes);

    let other = digits("digits.onnx");
    let args = [
        "run",
        "m.fewbit",
        "--input",
        &data,
        "--output",
        "z.npy",
        "--layout-of",
    ];
    let message = session.fail(&[&args[..], &[&other]].concat(), 1);
    assert!(
        message.contains("digits.onnx") && message.contains("not the model"),
        "{message}"
    );
    let message = session.fail(&[&["run", &model], &args[2..], &[&model]].concat(), 1);
    assert!(message.contains("--layout-of"), "{message}");
}

/// Takes the layouts of outputs out of a blob, which the first ones did not hold.
fn without_layout(path: &Path) {
    let blob = AlignedBlob::new(&std::fs::read(path).expect("written"));
    let simulator = Simulator::new(blob.as_bytes()).expect("loads");
    let model = simulator.model();
    let metadata = Metadata {
        outputs: Vec::new(),
        ..simulator.metadata().clone()
    };
    let program = ProgramParts::of(model);
    let older = assemble(&program, model.weights(), model.params(), &metadata);
    std::fs::write(path, older.expect("fits")).expect("writes");
}

/// The targets are onnxruntime's own outputs: float has no error, and the integers' is their noise.
#[test]
fn targets_give_errors_for_float_and_integers() {
    let session = Session::new();
    let (model, data) = (convolution("model.onnx"), convolution("data.npz"));
    let (inputs, targets) = (format!("{data}:x"), format!("{data}:x,expected"));
    let args = [
        "quantize",
        &model,
        "--calibration",
        &inputs,
        "--eval",
        &targets,
    ];
    let text = session.succeed(&[&args[..], &["--out", "m.fewbit", "--json", "q.json"]].concat());
    for word in ["RMSE", "MAE", "R2", "SQNR"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("top-1"), "{text}");
    let report = session.json("q.json");
    let value = |form: &str, key: &str| report[form][key].as_f64().expect("a number");
    assert!(value("float", "rmse") < 1e-6 && value("float", "r2") > 0.999_999);
    assert!(report["integer"].get("agreement").is_none());
    // Noise over signal, by the root mean square of the targets.
    let file = std::fs::File::open(&data).expect("the case");
    let mut npz = ndarray_npy::NpzReader::new(file).expect("the case");
    let expected: ndarray::ArrayD<f32> = npz.by_name("expected").expect("the case");
    let power = expected.iter().map(|x| f64::from(x * x)).sum::<f64>() / expected.len() as f64;
    let sqnr = 20.0 * (power.sqrt() / value("integer", "rmse")).log10();
    let reported = value("integer", "sqnr_db");
    assert!((sqnr - reported).abs() < 0.01, "{sqnr} and {reported}");
    assert!(value("integer", "mae") <= value("integer", "rmse") && value("integer", "r2") < 1.0);

    // The blob knows which axis of the targets is which; one of the first needs its model for that.
    let eval = ["eval", "m.fewbit", "--data", &targets];
    let with_model = [&eval[..], &["--reference", &model]].concat();
    let check = |args: &[&str]| {
        session.succeed(&[args, &["--json", "e.json"]].concat());
        let evaluated = session.json("e.json");
        let near = |key: &str| {
            let (found, expected) = (evaluated[key].as_f64(), value("integer", key));
            (found.expect("a number") - expected).abs() < 1e-9
        };
        assert!(near("rmse") && near("mae") && near("r2"), "{evaluated}");
    };
    check(&eval);
    check(&with_model);
    without_layout(&session.path("m.fewbit"));
    assert!(session.fail(&eval, 1).contains("--reference"));
    check(&with_model);
    let text = session.succeed(&["eval", &model, "--data", &targets]);
    assert!(text.contains("RMSE"), "{text}");
}

#[test]
fn labels_that_do_not_suit_are_refused_and_doubtful_samples_named() {
    let session = Session::new();
    let file = std::fs::File::open(digits("digits.npz")).expect("built in");
    let mut npz = ndarray_npy::NpzReader::new(file).expect("built in");
    let x: ndarray::ArrayD<u16> = npz.by_name("x_test").expect("built in");
    let mut y: ndarray::ArrayD<u8> = npz.by_name("y_test").expect("built in");
    let zeros = ndarray::ArrayD::<u8>::zeros(x.shape());
    let shifted = y.mapv(|class| (class + 1) % 10);
    y[[7]] = 99;
    let file = std::fs::File::create(session.path("d.npz")).expect("a file");
    let mut npz = ndarray_npy::NpzWriter::new(file);
    npz.add_array("x", &x).expect("written");
    npz.add_array("zeros", &zeros).expect("written");
    npz.add_array("y", &y).expect("written");
    npz.add_array("shifted", &shifted).expect("written");
    npz.finish().expect("written");
    let model = digits("digits.onnx");
    let message = session.fail(&["eval", &model, "--data", "d.npz"], 1);
    for part in ["d.npz", "sample 7", "99", "10 classes"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Without its divisor, mean and deviation.
    let plain = ["quantize", &model, "--out", "m.fewbit", "--json", "q.json"];
    let told = |args: &[&str]| {
        session.succeed(&[&plain[..], args, &QUICK].concat());
        session.json("q.json")["warnings"].to_string()
    };
    let raw = told(&["--calibration", "d.npz:x"]);
    assert!(
        raw.contains("BatchNorm") && raw.contains("--input-divisor"),
        "{raw}"
    );
    let zeros = told(&["--calibration", "d.npz:zeros"]);
    assert!(
        zeros.contains("all values") && zeros.contains("--input-mean"),
        "{zeros}"
    );
    let one = told(&[&["--calibration", "d.npz:x[0:1]"], &PREPARED[..]].concat());
    assert_eq!(one, "[]");
    let guessed = [&["--calibration", "d.npz:x,shifted[0:100]"], &PREPARED[..]].concat();
    assert!(told(&guessed).contains("guessing"));
    session.succeed(&[&["quantize", "--json", "q.json"], &QUICK[..]].concat());
    assert_eq!(session.json("q.json")["warnings"], serde_json::json!([]));
}
