//! The kernel families: which kernels run a blob, and what it is packed for.

/// A kernel family: the kernels that a processor runs, and what a blob is packed for, the header's `packing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(
    feature = "std",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[repr(u8)]
pub enum Family {
    /// Rows of weights, which every build runs.
    #[default]
    Scalar = 0,
    /// For Cortex-M4, M7 and M33.
    Dsp = 1,
    /// For Cortex-M55 and M85: rows of weights, and other scratch.
    Mve = 2,
}

impl Family {
    /// Every family, in the order of the header's numbers.
    pub const ALL: [Family; 3] = [Family::Scalar, Family::Dsp, Family::Mve];

    /// From the header's byte; `None` for one that this crate does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| *packing as u8 == code)
    }

    /// The word for it in `board.toml`, on the command line and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Scalar => "scalar",
            Family::Dsp => "dsp",
            Family::Mve => "mve",
        }
    }

    /// The family of this build, as firmware has one; `None` on the desk, where all are there.
    #[inline]
    pub(crate) fn of_this_build() -> Option<Family> {
        if cfg!(fewbit_family = "all") {
            None
        } else if cfg!(fewbit_family = "dsp") {
            Some(Family::Dsp)
        } else if cfg!(fewbit_family = "mve") {
            Some(Family::Mve)
        } else {
            Some(Family::Scalar)
        }
    }

    /// The family whose kernels run a blob: on the desk the one it was packed for, in firmware the build's.
    #[inline]
    pub(crate) fn of_build(blob: Family) -> Family {
        Self::of_this_build().unwrap_or(blob)
    }

    /// Whether this build has the kernels for it: on the desk it has all, in firmware the scalar family and its own.
    #[must_use]
    pub fn is_available(self) -> bool {
        self.is_available_in(Self::of_this_build())
    }

    /// Whether a build of a family, or one of all, has the kernels for it.
    #[inline]
    pub(crate) fn is_available_in(self, build: Option<Family>) -> bool {
        build.is_none_or(|build| build.runs(self))
    }

    /// Whether a processor of this family runs a blob that is packed for another: its own runs, and what is for all.
    #[must_use]
    pub fn runs(self, blob: Family) -> bool {
        blob == Family::Scalar || blob == self
    }
}
