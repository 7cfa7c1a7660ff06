//! Panics and faults: the log gives the place, and the program ends.

use core::panic::PanicInfo;

#[cfg(feature = "semihosting")]
use crate::emulated::fail as end;
#[cfg(not(feature = "semihosting"))]
use crate::real::halt as end;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    end()
}

#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
#[allow(
    unsafe_code,
    reason = "cortex-m-rt asks for it: the handler may have been entered at any point"
)]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!(
        "hard fault at pc={=u32:#010x} lr={=u32:#010x}",
        frame.pc(),
        frame.lr()
    );
    end()
}

/// Every exception that no other handler takes; riscv-rt calls it by this name. The ESP32-C3's HAL has its own.
#[cfg(all(target_arch = "riscv32", feature = "semihosting"))]
#[allow(
    unsafe_code,
    reason = "riscv-rt finds the handler by its name, which nothing else has"
)]
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception_handler(frame: &riscv_rt::TrapFrame) -> ! {
    defmt::error!(
        "exception {=usize} at pc={=usize:#010x} ra={=usize:#010x}",
        riscv::register::mcause::read().code(),
        riscv::register::mepc::read(),
        frame.ra
    );
    end()
}
