//! ESP32-C3: starts the shared application.
//!
//! The core runs at 160 MHz; costs are counted in microseconds, by the system timer. UART0 on GPIO20 and GPIO21 goes to
//! the serial bridge of most boards. The LED is an external one at GPIO5, as the boards' own is addressable; the timing pin is
//! GPIO4.

#![no_std]
#![no_main]

use esp_hal::{
    clock::CpuClock,
    gpio::{Level, Output, OutputConfig},
    time::Instant,
    uart::{self, Uart},
};
use fewbit_firmware::{
    board::Board,
    counter::{Counter, Unit},
    real, stack,
};

esp_bootloader_esp_idf::esp_app_desc!();

/// The system timer.
struct Timer;

impl Counter for Timer {
    fn unit(&self) -> Unit {
        Unit::Microseconds
    }

    fn now(&mut self) -> u64 {
        Instant::now().duration_since_epoch().as_micros()
    }

    fn cost_since(&mut self, start: u64) -> u64 {
        self.now() - start
    }
}

#[esp_hal::main]
fn main() -> ! {
    // Before `init`, which watches the stack's end from then on.
    stack::paint();
    let chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let config = uart::Config::default().with_baudrate(115_200);
    let Ok(serial) = Uart::new(chip.UART0, config) else {
        real::halt()
    };
    real::run(Board {
        counter: Timer,
        serial: serial.with_rx(chip.GPIO20).with_tx(chip.GPIO21),
        led: Output::new(chip.GPIO5, Level::Low, OutputConfig::default()),
        timing: Output::new(chip.GPIO4, Level::Low, OutputConfig::default()),
    })
}
