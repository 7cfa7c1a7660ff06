//! Kernel families: sets of kernels, and the blobs packed for them.

/// Kernel family: the kernels that a processor runs, and the order of weights in a blob (the header's `packing`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(
    feature = "std",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[repr(u8)]
pub enum Family {
    /// Weights in rows, which every build runs.
    #[default]
    Scalar = 0,
    /// For Cortex-M4, M7 and M33.
    Dsp = 1,
    /// For Cortex-M55 and M85: weights in rows, and other scratch.
    Mve = 2,
}

impl Family {
    /// Every family, in the order of the header's numbers.
    pub const ALL: [Family; 3] = [Family::Scalar, Family::Dsp, Family::Mve];

    /// Family of the header's byte; `None` for one that this crate does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|packing| *packing as u8 == code)
    }

    /// Name in `board.toml`, on the command line and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Scalar => "scalar",
            Family::Dsp => "dsp",
            Family::Mve => "mve",
        }
    }

    /// Family of this build, as firmware has one; `None` on the host, which has all.
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

    /// Family whose kernels run a blob: on the host the one it was packed for, in firmware the build's.
    #[inline]
    pub(crate) fn of_build(blob: Family) -> Family {
        Self::of_this_build().unwrap_or(blob)
    }

    /// Whether this build has the kernels of the family: the host has all, firmware the scalar family and its own.
    #[must_use]
    pub fn is_available(self) -> bool {
        self.is_available_in(Self::of_this_build())
    }

    /// Whether a build of one family, or of all (`None`), has the kernels of this one.
    #[inline]
    pub(crate) fn is_available_in(self, build: Option<Family>) -> bool {
        build.is_none_or(|build| build.runs(self))
    }

    /// Whether a processor of this family runs a blob packed for `blob`: it runs its own, and blobs in the default order.
    #[must_use]
    pub fn runs(self, blob: Family) -> bool {
        blob == Family::Scalar || blob == self
    }
}
