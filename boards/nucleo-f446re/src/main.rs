//! Nucleo-F446RE: starts the shared application.
//!
//! The core runs at 168 MHz from the internal oscillator. USART2 on PA2 and PA3 goes to the debugger's virtual serial
//! port. The LED is LD2; the timing pin is PA8, D7 of the Arduino header.

#![no_std]
#![no_main]

use embassy_stm32::{
    Config,
    gpio::{Level, Output, Speed},
    rcc::{AHBPrescaler, APBPrescaler, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk},
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
    config.rcc.hsi = true;
    config.rcc.pll_src = PllSource::HSI;
    // 16 MHz / 8 * 168 / 2.
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV8,
        mul: PllMul::MUL168,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV1;
    config.rcc.apb1_pre = APBPrescaler::DIV4;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else {
        real::halt()
    };
    let chip = embassy_stm32::init(clocks());
    let Ok(uart) = Uart::new_blocking(chip.USART2, chip.PA3, chip.PA2, usart::Config::default())
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
        led: Output::new(chip.PA5, Level::Low, Speed::Low),
        timing: Output::new(chip.PA8, Level::Low, Speed::VeryHigh),
    })
}
