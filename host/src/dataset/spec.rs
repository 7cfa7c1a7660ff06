//! Naming arrays and samples on a command line.
//!
//! `file[:x[,y]][samples]`, for instance `digits.npz:x_train,y_train[0:512]`. What stands in the brackets is a slice as in Python,
//! `start:stop:step` with every part optional; a `!` in front takes all the other samples, so that `data.npz[::4]` and
//! `data.npz[!::4]` split a file in two without overlap.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A data file, the arrays in it, and which of its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSpec {
    /// The `.npz` or `.npy` file.
    pub path: PathBuf,
    /// The arrays of an `.npz` file; `None` for `x`, and `y` if it is there.
    pub arrays: Option<ArrayNames>,
    /// Which samples; `None` for all.
    pub samples: Option<SampleSlice>,
}

/// Names of the arrays in an `.npz` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayNames {
    /// The inputs.
    pub inputs: String,
    /// Name of the array of labels, if any are needed.
    pub labels: Option<String>,
}

/// Selection of samples: those of a slice, or all others.
///
/// `start` and `stop` count from the end if negative, and are the ends if absent, as in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSlice {
    /// First index.
    pub start: Option<i64>,
    /// Index after the last one.
    pub stop: Option<i64>,
    /// Distance from index to index, at least 1.
    pub step: usize,
    /// Whether to select the samples that the slice leaves out.
    pub complement: bool,
}

impl SampleSlice {
    /// Selected indices out of `count`, ascending.
    pub fn indices(&self, count: usize) -> Vec<usize> {
        let position = |index: i64| {
            let magnitude = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            if index < 0 {
                count.saturating_sub(magnitude)
            } else {
                magnitude.min(count)
            }
        };
        let start = self.start.map_or(0, position);
        let stop = self.stop.map_or(count, position);
        let chosen = |index: &usize| {
            (start..stop).contains(index) && (index - start).is_multiple_of(self.step.max(1))
        };
        (0..count)
            .filter(|index| chosen(index) != self.complement)
            .collect()
    }
}

/// Error in the text of a [`DatasetSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "data set `{text}`: {problem}; expected FILE.npz[:X[,Y]][[START:STOP:STEP]], for instance data.npz:x_test,y_test[0:512], data.npz[::4] or data.npz[!::4] for all but every fourth sample"
)]
pub struct DatasetSpecError {
    /// The text.
    pub text: String,
    /// Description of the error.
    pub problem: String,
}

impl FromStr for DatasetSpec {
    type Err = DatasetSpecError;

    fn from_str(text: &str) -> Result<Self, DatasetSpecError> {
        parse(text).map_err(|problem| DatasetSpecError {
            text: text.to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<DatasetSpec, String> {
    let lower = text.to_ascii_lowercase();
    // The file name ends at the last extension that something meaningful follows; directories may have any name.
    let end = [".npz", ".npy"]
        .iter()
        .flat_map(|extension| lower.match_indices(extension))
        .map(|(at, extension)| at + extension.len())
        .filter(|&end| matches!(text.as_bytes().get(end), None | Some(b':' | b'[')))
        .max()
        .ok_or("no file name ending in .npz or .npy")?;
    let (path, mut rest) = text.split_at(end);
    let mut arrays = None;
    if let Some(names) = rest.strip_prefix(':') {
        let names_end = names.find('[').unwrap_or(names.len());
        arrays = Some(parse_names(&names[..names_end])?);
        rest = &names[names_end..];
        if lower[..end].ends_with(".npy") {
            return Err("an .npy file holds one array, without a name".to_owned());
        }
    }
    let samples = match rest.strip_prefix('[') {
        None => None,
        Some(slice) => {
            let slice = slice.strip_suffix(']').ok_or("`]` missing at the end")?;
            Some(parse_slice(slice)?)
        }
    };
    Ok(DatasetSpec {
        path: path.into(),
        arrays,
        samples,
    })
}

fn parse_names(names: &str) -> Result<ArrayNames, String> {
    let mut parts = names.split(',');
    let inputs = parts.next().unwrap_or_default();
    let labels = parts.next();
    if inputs.is_empty() || labels == Some("") || parts.next().is_some() {
        return Err(format!("`{names}` is not one or two names of arrays"));
    }
    Ok(ArrayNames {
        inputs: inputs.to_owned(),
        labels: labels.map(str::to_owned),
    })
}

fn parse_slice(text: &str) -> Result<SampleSlice, String> {
    let (complement, slice) = match text.strip_prefix('!') {
        Some(slice) => (true, slice),
        None => (false, text),
    };
    let parts: Vec<_> = slice.split(':').map(str::trim).collect();
    if !(2..=3).contains(&parts.len()) {
        return Err(format!("`[{text}]` is not START:STOP or START:STOP:STEP"));
    }
    let number = |part: &str| match part {
        "" => Ok(None),
        _ => part
            .parse::<i64>()
            .map(Some)
            .map_err(|_| format!("`{part}` in `[{text}]` is not an integer")),
    };
    let step = number(parts.get(2).copied().unwrap_or_default())?.unwrap_or(1);
    let step = usize::try_from(step)
        .ok()
        .filter(|&step| step > 0)
        .ok_or_else(|| format!("the step in `[{text}]` must be at least 1"))?;
    Ok(SampleSlice {
        start: number(parts[0])?,
        stop: number(parts[1])?,
        step,
        complement,
    })
}

impl fmt::Display for DatasetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(ArrayNames { inputs, labels }) = &self.arrays {
            write!(f, ":{inputs}")?;
            if let Some(labels) = labels {
                write!(f, ",{labels}")?;
            }
        }
        match &self.samples {
            Some(samples) => write!(f, "[{samples}]"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SampleSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |index: Option<i64>| index.map(|index| index.to_string()).unwrap_or_default();
        if self.complement {
            write!(f, "!")?;
        }
        write!(f, "{}:{}", text(self.start), text(self.stop))?;
        if self.step != 1 {
            write!(f, ":{}", self.step)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> DatasetSpec {
        text.parse().unwrap()
    }

    #[test]
    fn reads_names_and_slices_and_shows_them_again() {
        let all = [
            "data.npz",
            "dir.npz/data.npy[:100]",
            "digits.npz:x_train,y_train[0:512]",
            "digits.npz:x_test",
            "data.npz[::4]",
            "data.npz[!::4]",
            "C:\\sets\\data.NPZ:x[-10:]",
        ];
        for text in all {
            assert_eq!(spec(text).to_string(), text);
        }
        let digits = spec("digits.npz:x_train,y_train[0:512]");
        assert_eq!(digits.path, PathBuf::from("digits.npz"));
        let names = digits.arrays.unwrap();
        assert_eq!(names.inputs, "x_train");
        assert_eq!(names.labels.as_deref(), Some("y_train"));
        assert_eq!(
            digits.samples.unwrap().indices(1297),
            (0..512).collect::<Vec<_>>()
        );
    }

    #[test]
    fn slices_are_those_of_python() {
        let indices = |text: &str, count| spec(text).samples.unwrap().indices(count);
        assert_eq!(indices("a.npz[::4]", 10), [0, 4, 8]);
        assert_eq!(indices("a.npz[!::4]", 10), [1, 2, 3, 5, 6, 7, 9]);
        assert_eq!(indices("a.npz[1::3]", 10), [1, 4, 7]);
        assert_eq!(indices("a.npz[-3:]", 10), [7, 8, 9]);
        assert_eq!(indices("a.npz[:-8]", 10), [0, 1]);
        assert_eq!(indices("a.npz[8:100]", 10), [8, 9]);
        assert_eq!(indices("a.npz[-100:2]", 10), [0, 1]);
        assert_eq!(indices("a.npz[!2:9]", 10), [0, 1, 9]);
        assert_eq!(indices("a.npz[5:2]", 10), [0; 0]);
        assert_eq!(indices("a.npz[:]", 3), [0, 1, 2]);
    }

    #[test]
    fn a_slice_and_its_complement_split_the_samples() {
        for text in ["3:20:4", "::4", "-7:", ":5", ":", "9:2"] {
            let mut both = spec(&format!("a.npz[{text}]")).samples.unwrap().indices(23);
            both.extend(
                spec(&format!("a.npz[!{text}]"))
                    .samples
                    .unwrap()
                    .indices(23),
            );
            both.sort_unstable();
            assert_eq!(both, (0..23).collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let problem = |text: &str| text.parse::<DatasetSpec>().unwrap_err().problem;
        assert!(problem("data.csv").contains(".npz"));
        assert!(problem("data.npz[5]").contains("START:STOP"));
        assert!(problem("data.npz[0:5").contains("`]` missing"));
        assert!(problem("data.npz[0:five]").contains("`five`"));
        assert!(problem("data.npz[::0]").contains("step"));
        assert!(problem("data.npz[::-1]").contains("step"));
        assert!(problem("data.npz:a,b,c").contains("a,b,c"));
        assert!(problem("data.npz:[0:5]").contains("names"));
        assert!(problem("data.npy:x").contains("one array"));
        assert!(problem("data.npzz").contains(".npz"));
        assert!(problem("").contains(".npz"));
    }
}
