//! Boards that QEMU emulates: job file, logs and exit code by semihosting.
//!
//! The job is [`JOB_FILE`] in QEMU's working directory. The program ends with exit code 0 after a complete run and 1
//! after any error, panic or fault, always with a defmt message that says why.

use core::panic::PanicInfo;

use defmt_semihosting as _;
use semihosting::{fs::File, io::Read, process};

use crate::{
    app::{self, Source, SourceError},
    counter::Counter,
};

/// Name of the job's file, relative to the working directory of QEMU.
pub const JOB_FILE: &core::ffi::CStr = c"job.bin";

/// A job in a file of the host.
struct FileSource(File);

impl Source for FileSource {
    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), SourceError> {
        self.0.read_exact(bytes).map_err(|_| SourceError)
    }
}

/// Runs the job in [`JOB_FILE`] and ends the emulation.
pub fn run(mut counter: impl Counter) -> ! {
    let Ok(file) = File::open(JOB_FILE) else {
        defmt::error!("cannot open job.bin in the emulator's working directory");
        fail()
    };
    match app::run(&mut FileSource(file), &mut counter) {
        Ok(()) => process::exit(0),
        Err(error) => {
            defmt::error!("run ended: {}", error);
            fail()
        }
    }
}

/// Ends the emulation with the exit code for failure.
pub fn fail() -> ! {
    process::exit(1)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    fail()
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
    fail()
}

/// Every exception that no other handler takes; riscv-rt calls it by this name.
#[cfg(target_arch = "riscv32")]
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
    fail()
}
