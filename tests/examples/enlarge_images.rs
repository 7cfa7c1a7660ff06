//! Enlarges images of a data file: `enlarge_images IN[SLICE] OUT.npy FACTOR`.
//!
//! For networks that come without data: any images, scaled up to the network's input, are closer to what it was made for than noise.
//! `IN` holds bytes `[N, h, w, 3]` as `x`; every pixel is repeated FACTOR times in both directions.

use fewbit::dataset::{Dataset, DatasetSpec, InputLayout, InputTransform, write_npy};
use fewbit_tests::networks::enlarged;
use std::path::Path;

const SIZE: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, factor] = &arguments[..] else {
        return Err("usage: enlarge_images IN.npz[START:STOP:STEP] OUT.npy FACTOR".into());
    };
    let spec: DatasetSpec = input.parse()?;
    let factor: usize = factor.parse()?;
    let layout = InputLayout {
        shape: vec![SIZE, SIZE, 3],
        source_shape: vec![SIZE, SIZE, 3],
        source_axes: vec![0, 1, 2],
    };
    let small = Dataset::load(&spec, &layout, &InputTransform::default())?;
    let large = enlarged(&small, SIZE, factor);
    let bytes: Vec<u8> = large.inputs.iter().map(|&value| value as u8).collect();
    write_npy(
        Path::new(output),
        &[large.samples, SIZE * factor, SIZE * factor, 3],
        &bytes,
    )?;
    println!(
        "{} images of {}x{} in {output}",
        large.samples,
        SIZE * factor,
        SIZE * factor
    );
    Ok(())
}
