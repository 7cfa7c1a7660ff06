//! An inference as a task between sensor reads, on the nRF52840-DK.
//!
//! An inference takes longer than the time between two samples, and does not yield before it ends. So a task in an interrupt
//! reads the sensor, interrupts the inference, and passes on whole windows; the model runs in thread
//! mode. Here the sensor is the voltage at P0.02, a window is one input of the model, and LED 1 is lit for odd classes.

#![no_std]
#![no_main]

use embassy_executor::{Executor, InterruptExecutor, Spawner};
use embassy_nrf::{
    bind_interrupts,
    gpio::{Level, Output, OutputDrive},
    interrupt,
    interrupt::{InterruptExt as _, Priority},
    saadc::{self, ChannelConfig, Saadc},
};
use embassy_sync::{blocking_mutex::raw::CriticalSectionRawMutex, channel::Channel};
use embassy_time::{Duration, Ticker};
use fewbit_firmware::{
    model::{ARENA_BYTES, BLOB, INPUT_BYTES, Kernels, OPS, TENSORS},
    real,
};
use fewbit_runtime::{Aligned, Engine, Model};
use static_cell::{ConstStaticCell, StaticCell};

bind_interrupts!(struct Interrupts {
    SAADC => saadc::InterruptHandler;
});

/// Time between two samples.
const PERIOD: Duration = Duration::from_millis(1);

/// Samples in one input of the model.
type Window = [i8; INPUT_BYTES];

/// Windows that wait for the model: one is filled while the model runs on the other.
static WINDOWS: Channel<CriticalSectionRawMutex, Window, 1> = Channel::new();

static ARENA: ConstStaticCell<Aligned<[i8; ARENA_BYTES]>> =
    ConstStaticCell::new(Aligned([0; ARENA_BYTES]));

static SENSOR: InterruptExecutor = InterruptExecutor::new();

#[allow(
    unsafe_code,
    reason = "embassy runs its executor from the interrupt that is given to it"
)]
#[interrupt]
unsafe fn EGU1_SWI1() {
    // SAFETY: this is the interrupt that the executor was started with.
    unsafe { SENSOR.on_interrupt() }
}

/// Reads the sensor, one sample per period, and passes on windows.
#[embassy_executor::task]
async fn sense(mut adc: Saadc<'static, 1>) {
    let mut ticker = Ticker::every(PERIOD);
    loop {
        let mut window: Window = [0; INPUT_BYTES];
        for place in &mut window {
            let mut sample = [0];
            adc.sample(&mut sample).await;
            // 12 bits, of which the model's int8 takes the upper ones around the middle; a model of yours comes with the
            // scale and the zero point of its input instead.
            *place = i8::try_from((sample[0] >> 4) - 128).unwrap_or(i8::MAX);
            ticker.next().await;
        }
        if WINDOWS.try_send(window).is_err() {
            defmt::warn!("a window is dropped: the model is slower than the sensor");
        }
    }
}

/// Runs the model over every window.
#[embassy_executor::task]
async fn infer(mut led: Output<'static>) {
    let Some(arena) = ARENA.try_take() else {
        return;
    };
    let model = match Model::<TENSORS, OPS, Kernels>::with_kernels(&BLOB.0) {
        Ok(model) => model,
        Err(error) => return defmt::error!("the model does not load: {}", error),
    };
    let mut engine = match Engine::new(&model, &mut arena.0) {
        Ok(engine) => engine,
        Err(error) => return defmt::error!("{}", error),
    };
    loop {
        let window = WINDOWS.receive().await;
        engine.input_mut(0).copy_from_slice(&window);
        engine.run();
        let scores = engine.output(0).iter().enumerate();
        let class = scores
            .max_by_key(|(_, score)| **score)
            .map_or(0, |(index, _)| index);
        led.set_level(if class % 2 == 1 {
            Level::Low
        } else {
            Level::High
        });
        defmt::info!("class {=usize}", class);
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();

    real::start_log();
    let chip = embassy_nrf::init(Default::default());
    let adc = Saadc::new(
        chip.SAADC,
        Interrupts,
        saadc::Config::default(),
        [ChannelConfig::single_ended(chip.P0_02)],
    );
    let led = Output::new(chip.P0_13, Level::High, OutputDrive::Standard);

    interrupt::EGU1_SWI1.set_priority(Priority::P6);
    let sensor = SENSOR.start(interrupt::EGU1_SWI1);
    if let Ok(task) = sense(adc) {
        sensor.spawn(task);
    }
    EXECUTOR.init(Executor::new()).run(|spawner: Spawner| {
        if let Ok(task) = infer(led) {
            spawner.spawn(task);
        }
    })
}
