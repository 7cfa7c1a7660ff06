//! The UART of Arm's MPS2 and MPS3 boards.
//!
//! CMSDK APB UART, Arm DDI 0479, section 4.3.
//! Polled: QEMU takes and gives bytes at once, and one at a time.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

/// Registers, as words from the base address.
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const BAUD_DIVIDER: usize = 4;

/// Bits of [`STATE`].
const TRANSMIT_FULL: u32 = 1;
const RECEIVE_FULL: u32 = 2;
const OVERRUNS: u32 = 4 | 8;

/// Bits of [`CONTROL`].
const ENABLE_BOTH: u32 = 1 | 2;

/// The least divider that the hardware takes; an emulated line has no speed.
const LEAST_DIVIDER: u32 = 16;

/// The UART, in polling mode.
pub struct CmsdkUart {
    base: *mut u32,
}

impl CmsdkUart {
    /// Starts the UART at a base address.
    ///
    /// # Safety
    ///
    /// At `base` lies a CMSDK APB UART, which nothing else uses.
    #[allow(unsafe_code, reason = "only the board knows where its peripherals are")]
    pub unsafe fn new(base: usize) -> Self {
        let mut uart = Self {
            base: core::ptr::with_exposed_provenance_mut(base),
        };
        uart.write_register(BAUD_DIVIDER, LEAST_DIVIDER);
        uart.write_register(CONTROL, ENABLE_BOTH);
        uart
    }

    #[allow(unsafe_code, reason = "a register of a peripheral")]
    fn read_register(&self, word: usize) -> u32 {
        // SAFETY: `new` was promised a UART at the base, whose registers the callers' constants are.
        unsafe { self.base.add(word).read_volatile() }
    }

    #[allow(unsafe_code, reason = "a register of a peripheral")]
    fn write_register(&mut self, word: usize, value: u32) {
        // SAFETY: as in `read_register`; `&mut self` is the only user.
        unsafe { self.base.add(word).write_volatile(value) }
    }
}

impl ErrorType for CmsdkUart {
    type Error = Infallible;
}

impl Read for CmsdkUart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = bytes.first_mut() else {
            return Ok(0);
        };
        loop {
            let state = self.read_register(STATE);
            if state & OVERRUNS != 0 {
                // Bytes were lost; the frame's checksum will tell. Writing a one clears it.
                self.write_register(STATE, state & OVERRUNS);
            }
            if state & RECEIVE_FULL != 0 {
                *first = self.read_register(DATA).to_le_bytes()[0];
                return Ok(1);
            }
        }
    }
}

impl Write for CmsdkUart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else {
            return Ok(0);
        };
        while self.read_register(STATE) & TRANSMIT_FULL != 0 {}
        self.write_register(DATA, first.into());
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while self.read_register(STATE) & TRANSMIT_FULL != 0 {}
        Ok(())
    }
}
