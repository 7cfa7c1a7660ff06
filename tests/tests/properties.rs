//! Random layers and networks whose failures shrink.
//!
//! The generators of the other suites draw from lists of choices here. proptest shortens the list of a failure, and makes its numbers smaller, as long as it
//! fails: what is left is the smallest layer or network, which the message shows. Seeds of failures are kept in `proptest-regressions/` and run first.
//! `FEWBIT_PROPERTY_CASES` sets how many layers there are (4000 if unset; a hundredth of it are networks), `FEWBIT_PROPERTY_SEED` which ones.

use fewbit::dataset::{Dataset, InputLayout};
use fewbit::executor::Executor;
use fewbit::graph::{Graph, TensorId};
use fewbit::measure::simulate::Simulator;
use fewbit::pipeline::{self, Calibration};
use fewbit::progress::Silent;
use fewbit::range::{Range, RangeMethod};
use fewbit::recipe::Equalize;
use fewbit::recipe::RoundingMethod;
use fewbit::recipe::{Recipe, Target, WeightBits};
use fewbit_runtime::ProgramParts;
use fewbit_runtime::format::family::Family;
use fewbit_tests::compare::{compare, describe};
use fewbit_tests::oracle::{Sections, run};
use fewbit_tests::random_layer::layer_from_list;
use fewbit_tests::random_network::Pair;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};
use std::fmt::Write as _;

/// Layers, if the environment says nothing.
const CASES: u32 = 4000;

const UNIT: Range = Range {
    min: -1.0,
    max: 1.0,
};

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is no number"))
    })
}

fn runner(cases: u32, file: &'static str) -> TestRunner {
    TestRunner::new(Config {
        cases,
        max_shrink_iters: 20_000,
        rng_seed: RngSeed::Fixed(number("FEWBIT_PROPERTY_SEED", 0).into()),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        ..Config::default()
    })
}

/// Choices for a generator; few are enough, as whatever it fills takes one.
fn choices(most: usize) -> impl Strategy<Value = Vec<u64>> {
    vec(any::<u64>(), 0..most)
}

/// Runs a property, and shows the smallest input of a failure as the property describes it.
fn check<S: Strategy>(
    mut runner: TestRunner,
    strategy: &S,
    property: impl Fn(&S::Value) -> Result<(), String>,
) {
    let result = runner.run(strategy, |input| {
        property(&input).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, input)) => {
            panic!("the smallest failure:\n{reason}\nfrom {input:?}")
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn layers_equal_the_oracle() {
    let cases = number("FEWBIT_PROPERTY_CASES", CASES);
    let runner = runner(cases, "proptest-regressions/layers.txt");
    check(runner, &choices(60), |choices| {
        let random = layer_from_list(choices);
        compare(&random)
            .map(|_| ())
            .map_err(|what| describe(&random, &what))
    });
}

#[test]
fn networks_equal_the_oracle_in_every_family() {
    let cases = number("FEWBIT_PROPERTY_CASES", CASES) / 100;
    let runner = runner(cases, "proptest-regressions/networks.txt");
    let strategy = (choices(30), choices(100), any::<u64>());
    check(runner, &strategy, |(shape, dead, weights)| {
        let pair = Pair::from_lists(shape, dead, *weights);
        let what = |what: String| format!("{what}\n{}", nodes(&pair.mixed));
        same_function(&pair).map_err(what)?;
        let bits = [WeightBits::Int8, WeightBits::Int4][(weights % 2) as usize];
        families(&pair.mixed, bits).map_err(what)
    });
}

/// A network for people.
fn nodes(graph: &Graph) -> String {
    let mut text = String::new();
    for node in &graph.nodes {
        let shape = |tensor: TensorId| &graph.tensors[tensor].shape;
        let inputs: Vec<_> = node.inputs.iter().map(|&input| shape(input)).collect();
        let _ = writeln!(
            text,
            "  {} {} {inputs:?} -> {:?}, {:?}",
            node.name,
            node.op.kind(),
            shape(node.output),
            node.activation
        );
    }
    text
}

/// Constant channels change nothing in float.
fn same_function(pair: &Pair) -> Result<(), String> {
    let layout = InputLayout::of(&pair.live).map_err(|error| error.to_string())?;
    let samples = Dataset::uniform(&layout, UNIT, 4, 2);
    let [live, mixed] = [&pair.live, &pair.mixed].map(|graph| {
        let executor = Executor::new(graph).map_err(|error| error.to_string())?;
        let outputs = executor.forward(&samples.inputs, samples.samples);
        outputs.map_err(|error| error.to_string())
    });
    let (live, mixed) = (live?, mixed?);
    let largest = live.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let apart = live.iter().zip(&mixed).map(|(a, b)| (a - b).abs());
    let apart = apart.fold(0.0, f32::max);
    if apart > 1e-5 * largest {
        return Err(format!("outputs differ by {apart} of {largest}"));
    }
    Ok(())
}

/// The quantized network, as it is planned and packed for each family, gives what the oracle does.
fn families(graph: &Graph, bits: WeightBits) -> Result<(), String> {
    let mut recipe = Recipe::default();
    recipe.input.range = Some([UNIT.min, UNIT.max]);
    recipe.weights.bits = bits;
    recipe.weights.scale_search = false;
    recipe.activations.range = RangeMethod::MinMax;
    recipe.passes.equalize = Equalize::Off;
    recipe.rounding.method = RoundingMethod::Nearest;
    let layout = InputLayout::of(graph).map_err(|error| error.to_string())?;
    let samples = Dataset::uniform(&layout, UNIT, 4, 3);
    let mut expected = None;
    for packing in Family::ALL {
        recipe.target = Target::from(packing);
        let calibration = Calibration::Samples(&samples);
        let quantized = pipeline::quantize(graph, calibration, &recipe, &mut Silent);
        let quantized = quantized.map_err(|error| error.to_string())?;
        let simulator = Simulator::new(&quantized.blob).map_err(|error| error.to_string())?;
        let inputs = simulator.quantize_inputs(&samples.inputs);
        let found = simulator.run(&inputs, None);
        let found = found.map_err(|error| error.to_string())?.output;
        let expected = expected.get_or_insert_with(|| oracle(&simulator, &inputs));
        if *expected != found {
            return Err(format!("family {}: outputs differ", packing.name()));
        }
    }
    Ok(())
}

/// Outputs of a blob with its weights in rows, sample after sample.
fn oracle(simulator: &Simulator<'_>, inputs: &[i8]) -> Vec<i8> {
    let model = simulator.model();
    assert_eq!(model.packing(), Family::Scalar);
    let program = ProgramParts::of(model);
    let sections = Sections {
        weights: model.weights(),
        params: model.params(),
    };
    let samples = inputs.chunks(simulator.input_elements());
    let outputs = samples.map(|sample| run(&program, &sections, &[sample.to_vec()]).0);
    outputs.flatten().flatten().collect()
}

/// A failure that is made, to see that what is left is small.
#[test]
fn a_failure_shrinks_to_the_smallest_layer() {
    let mut runner = TestRunner::new(Config {
        cases: 2000,
        max_shrink_iters: 20_000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    });
    // As if average pools with more than one row, and three channels or more, were wrong.
    let wrong = |choices: &[u64]| {
        let random = layer_from_list(choices);
        let input = random.layer.program.tensors[0];
        random.operator == "average_pool" && input.h > 1 && input.c > 2
    };
    let result = runner.run(&choices(60), |choices| {
        if wrong(&choices) {
            return Err(TestCaseError::fail("wrong"));
        }
        Ok(())
    });
    let Err(TestError::Fail(_, choices)) = result else {
        panic!("no such layer was drawn: {result:?}");
    };
    let tensors = layer_from_list(&choices).layer.program.tensors;
    assert_eq!(tensors[0].shape(), [2, 1, 3], "{tensors:?}");
    assert_eq!(tensors.len(), 2);
}
