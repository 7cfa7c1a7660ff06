//! Damaged data, numbers that are none, misplaced outputs, closed pipes.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use ndarray::ArrayD;
use ndarray_npy::{read_npy, write_npy};

mod common;

use common::{QUICK, Session, digits};

impl Session {
    /// With the digits network and some samples.
    fn with_digits() -> Self {
        let session = Session::new();
        for name in ["digits.onnx", "digits.npz"] {
            fs::copy(digits(name), session.path(name)).expect("copies");
        }
        write_npy(
            session.path("x.npy"),
            &ArrayD::<f32>::zeros(vec![3, 16, 16]),
        )
        .expect("writes");
        session
    }

    /// With the network's blob too.
    fn with_blob() -> Self {
        let session = Session::with_digits();
        let made = session.run(&[&["quantize", "--out", "digits.fewbit"], &QUICK[..]].concat());
        assert!(made.status.success(), "{made:?}");
        session
    }

    /// Runs a command that has to fail with code 1, naming `words`, and to leave all files as they are.
    #[track_caller]
    fn refuse(&self, args: &[&str], words: &[&str]) {
        let message = self.fail(args, 1);
        for word in words {
            assert!(message.contains(word), "{args:?}: no {word} in: {message}");
        }
    }
}

/// An `.npy` file of floats with this shape, and `data` zeros behind the header.
fn claim(shape: &str, data: usize) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:117}\n").bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn data_files_that_claim_too_much_are_errors() {
    let session = Session::with_blob();
    let mut long_header = b"\x93NUMPY\x02\x00".to_vec();
    long_header.extend([0xff, 0xff, 0xff, 0xff, b'{']);
    for (name, bytes) in [
        ("claim.npy", claim("(2305843009213693951,)", 900)),
        (
            "zero.npy",
            claim("(0, 9223372036854775807, 9223372036854775807)", 0),
        ),
        ("header.npy", long_header),
    ] {
        fs::write(session.path(name), bytes).expect("writes");
        session.refuse(&["eval", "digits.fewbit", "--data", name], &[name]);
        session.refuse(&["quantize", "--calibration", name], &[name]);
        let run = ["run", "digits.onnx", "--input", name, "--output", "y.npy"];
        session.refuse(&run, &[name]);
    }
}

#[test]
fn numbers_that_are_none_are_errors_everywhere() {
    let session = Session::with_blob();
    let mut samples = ArrayD::<f32>::zeros(vec![3, 16, 16]);
    samples[[2, 1, 3]] = f32::NAN;
    write_npy(session.path("nan.npy"), &samples).expect("writes");
    let words = ["nan.npy", "sample 2", "element 19", "NaN"];
    for model in ["digits.onnx", "digits.fewbit"] {
        session.refuse(
            &["run", model, "--input", "nan.npy", "--output", "y.npy"],
            &words,
        );
        session.refuse(&["eval", model, "--data", "nan.npy"], &words);
    }
    session.refuse(&["quantize", "--calibration", "nan.npy"], &words);
    session.refuse(&["quantize", "--eval", "nan.npy"], &words);

    let free = ["quantize", "digits.onnx", "--data-free"];
    for range in ["nan,1", "1,nan", "1,-1", "0,0", "0,inf"] {
        let args = [&free[..], &["--input-range", range]].concat();
        session.refuse(&args, &["--input-range"]);
    }
    for (option, value) in [
        ("--input-divisor", "0"),
        ("--input-divisor", "nan"),
        ("--input-std", "0"),
        ("--input-std", "inf"),
        ("--input-mean", "nan"),
        // Too many for one channel.
        ("--input-mean", "1,2,3"),
    ] {
        let args = [&free[..], &["--input-range", "0,1", option, value]].concat();
        session.refuse(&args, &[&option[8..]]);
        session.refuse(&["quantize", option, value], &[&option[8..]]);
    }
}

#[test]
fn outputs_never_replace_inputs_or_each_other() {
    let session = Session::with_blob();
    let data = "digits.npz:x_train,y_train[0:64]";
    let quantize = ["quantize", "digits.onnx", "--calibration", data];
    let with = |more: &[&'static str]| [&quantize[..], more].concat();
    session.refuse(&with(&["--out", "digits.onnx"]), &["--out", "digits.onnx"]);
    session.refuse(&with(&["--json", "digits.npz"]), &["--json", "digits.npz"]);
    let same = ["--out", "same", "--json", "./same"];
    session.refuse(&with(&same), &["--out", "--json", "same"]);
    let recipe = ["--json", "digits.recipe.toml"];
    session.refuse(&with(&recipe), &["--json", "digits.recipe.toml"]);
    let run = ["run", "digits.onnx", "--input", "x.npy", "--output"];
    session.refuse(&[&run[..], &["x.npy"]].concat(), &["--output", "x.npy"]);
    let same = ["y.npy", "--json", "y.npy"];
    session.refuse(&[&run[..], &same].concat(), &["--output", "--json"]);
    let eval = ["eval", "digits.fewbit", "--data", "x.npy", "--json"];
    session.refuse(&[&eval[..], &["x.npy"]].concat(), &["--json", "x.npy"]);
    let inspect = ["inspect", "digits.fewbit", "--json", "digits.fewbit"];
    session.refuse(&inspect, &["--json", "digits.fewbit"]);

    // The recipe that was written may be written again, as long as nothing in it is lost.
    let again = ["quantize", "--recipe", "digits.recipe.toml"];
    assert!(session.run(&again).status.success());
    let other = [&again[..], &["--weights", "int4"]].concat();
    session.refuse(&other, &["recipe given", "digits.recipe.toml"]);
    let mut text = fs::read_to_string(session.path("digits.recipe.toml")).expect("reads");
    text.push_str("# the user's own words\n");
    fs::write(session.path("digits.recipe.toml"), text).expect("writes");
    session.refuse(&again, &["recipe given", "digits.recipe.toml"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let session = Session::with_blob();
    for args in [
        &["inspect", "digits.onnx", "--json", "report.json"][..],
        &["eval", "digits.fewbit", "--data", "x.npy"],
        &[
            "run",
            "digits.onnx",
            "--input",
            "x.npy",
            "--output",
            "y.npy",
        ],
        &["quantize", "--out", "again.fewbit"],
        &["--help"],
    ] {
        let mut child = session
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        drop(child.stdout.take());
        let mut message = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut message).expect("reads");
        let status = child.wait().expect("ends");
        assert_eq!((status.code(), message.as_str()), (Some(0), ""), "{args:?}");
    }
    for name in ["report.json", "y.npy", "again.fewbit"] {
        assert!(
            session.path(name).exists(),
            "{name} is written all the same"
        );
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let session = Session::with_blob();
    for args in [&["inspect", "digits.fewbit"][..], &["--help"]] {
        let output = session
            .command(args)
            .stdout(full.try_clone().expect("opens"))
            .output()
            .expect("starts");
        let message = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.contains("standard output"), "{message}");
    }
    let run = ["run", "digits.onnx", "--input", "x.npy", "--output"];
    session.refuse(&[&run[..], &["/dev/full"]].concat(), &["/dev/full"]);
    // Blob and recipe do not appear without the report.
    let quantize = ["quantize", "--out", "new.fewbit", "--json", "/dev/full"];
    session.refuse(&[&quantize[..], &QUICK].concat(), &["/dev/full"]);
    let device = [&run[..], &["y.npy", "--json", "/dev/stdout"]].concat();
    let output = session.run(&device);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success() && text.contains("\"samples\": 3"),
        "{text}"
    );
    let outputs: ArrayD<f32> = read_npy(session.path("y.npy")).expect("reads");
    assert_eq!(outputs.shape(), [3, 10]);
}

/// Metadata of a blob's input decides how data files are read; with a correct checksum, none of it may be trusted.
#[test]
fn damaged_metadata_is_an_error_or_does_no_harm() {
    let session = Session::with_blob();
    let blob = fs::read(session.path("digits.fewbit")).expect("written");
    let word = |place: usize| {
        let bytes = blob[place..place + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    let (start, length) = (word(44), word(48));
    let run = [
        "run",
        "damaged.fewbit",
        "--input",
        "x.npy",
        "--output",
        "z.npy",
    ];
    let mut refused = 0;
    // As `fewbit_tests::sampled`, which is made of this crate.
    let few = std::env::var("FEWBIT_SAMPLED").is_ok_and(|value| value == "1");
    let values = if few {
        &[255][..]
    } else {
        &[0, 1, 2, 127, 140, 255]
    };
    // The name comes first, then the shape of the input, its axes and its transform; shapes and axes of the output come last.
    let places = (start..start + length.min(48)).chain(start + length - 10..start + length);
    for place in places {
        for &value in values {
            let mut damaged = blob.clone();
            damaged[place] = value;
            let crc = fewbit_runtime::format::header::checksum(&damaged);
            damaged[16..20].copy_from_slice(&crc.to_le_bytes());
            fs::write(session.path("damaged.fewbit"), damaged).expect("written");
            let output = session.run(&run);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1)) && !message.contains("panicked"),
                "byte {place} = {value}: {code:?} {message}"
            );
            refused += usize::from(code == Some(1));
        }
    }
    assert!(refused > 20, "{refused}");
}
