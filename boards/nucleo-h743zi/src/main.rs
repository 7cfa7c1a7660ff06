//! Nucleo-H743ZI: starts the shared application.
//!
//! The core runs at 400 MHz from the internal oscillator, with both caches on. USART3 on PD8 and PD9 goes to the
//! debugger's virtual serial port. The LED is LD1; the timing pin is PE11, D5 of the Arduino header.

#![no_std]
#![no_main]

use embassy_stm32::{
    Config,
    gpio::{Level, Output, Speed},
    rcc::{
        AHBPrescaler, APBPrescaler, HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource,
        Sysclk, VoltageScale,
    },
    usart::{self, Uart},
};
use fewbit_firmware::{
    board::{Board, Polled},
    counter::CycleCounter,
    real,
};

/// The clocks.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = Some(HSIPrescaler::DIV1);
    // 64 MHz / 4 * 50 / 2.
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV2;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.apb3_pre = APBPrescaler::DIV2;
    config.rcc.apb4_pre = APBPrescaler::DIV2;
    config.rcc.voltage_scale = VoltageScale::Scale1;
    config
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(mut core) = cortex_m::Peripherals::take() else {
        real::halt()
    };
    let chip = embassy_stm32::init(clocks());
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    let Ok(uart) = Uart::new_blocking(chip.USART3, chip.PD9, chip.PD8, usart::Config::default())
    else {
        real::halt()
    };
    let (mut send, mut receive) = uart.split();
    real::run(Board {
        counter: CycleCounter::start(core.SYST),
        serial: Polled::new(
            move |byte| receive.blocking_read(byte).is_ok(),
            move |bytes| send.blocking_write(bytes).is_ok(),
        ),
        led: Output::new(chip.PB0, Level::Low, Speed::Low),
        timing: Output::new(chip.PE11, Level::Low, Speed::VeryHigh),
    })
}
