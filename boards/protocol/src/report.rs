//! Results in a firmware's log, beside what it says to people.
//!
//! A report is a line of words: `fewbit:` and its kind, then `key=value` for each value, in this order. [`report!`](crate::report!) is the
//! only place of the words: the firmware logs by it with defmt, which takes a format as nothing but a literal, and the host reads lines
//! by the same literal ([`values`]).

/// Begins every report.
pub const MARK: &str = "fewbit:";

/// Calls a macro with the format of a report in defmt's notation as a literal, then the arguments that follow.
///
/// ```
/// const MODEL: &str = fewbit_protocol::report!(concat, model);
/// assert!(MODEL.starts_with("fewbit:model tensors={=usize} "));
/// ```
///
/// | kind        | said when                                        | values                                                      |
/// |-------------|--------------------------------------------------|-------------------------------------------------------------|
/// | `model`     | the blob has loaded                              | tensors, operators, bytes of the arena, bytes of all inputs |
/// | `spin`      | the counter was tried on a loop                  | rounds of two instructions, cost                            |
/// | `operator`  | an operator has run                              | input, operator, cost, CRC-32 of its output                 |
/// | `output`    | an inference has ended, once for each output     | input, output, bytes                                        |
/// | `inference` | an inference has ended and its outputs are out   | input, cost                                                 |
/// | `bytes`     | an operator has run whose output is asked for    | input, operator, bytes                                      |
/// | `done`      | the job is done                                  | inputs, bytes of stack that were used                       |
/// | `update`    | a step of a signed update has ended              | step, cost                                                  |
///
/// A cost is in the unit of the board's counter.
#[macro_export]
macro_rules! report {
    ($($to:ident)::+, model $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:model tensors={=usize} ops={=usize} arena={=usize} input={=usize}" $(, $argument)*)
    };
    ($($to:ident)::+, spin $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:spin rounds={=u32} cost={=u64}" $(, $argument)*)
    };
    ($($to:ident)::+, operator $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:operator input={=u32} op={=usize} cost={=u64} crc={=u32:08x}" $(, $argument)*)
    };
    ($($to:ident)::+, output $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:output input={=u32} port={=usize} bytes={=[u8]:02x}" $(, $argument)*)
    };
    ($($to:ident)::+, inference $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:inference input={=u32} cost={=u64}" $(, $argument)*)
    };
    ($($to:ident)::+, bytes $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:bytes input={=u32} op={=usize} bytes={=[u8]:02x}" $(, $argument)*)
    };
    ($($to:ident)::+, done $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:done inputs={=u32} stack={=usize}" $(, $argument)*)
    };
    ($($to:ident)::+, update $(, $argument:expr)* $(,)?) => {
        $($to)::+!("fewbit:update step={=str} cost={=u64}" $(, $argument)*)
    };
}

/// Reads a line that was logged by `format`; returns the text of each of its `N` values, or none if the line has other words than the
/// format, or the format another number of values.
pub fn values<'a, const N: usize>(format: &str, line: &'a str) -> Option<[&'a str; N]> {
    let mut values = [""; N];
    let mut pieces = format.split('{');
    let mut rest = line.strip_prefix(pieces.next()?)?;
    for value in &mut values {
        let (_, words) = pieces.next()?.split_once('}')?;
        let end = match words {
            "" => rest.len(),
            words => rest.find(words)?,
        };
        (*value, rest) = rest.split_at_checked(end)?;
        rest = rest.strip_prefix(words)?;
    }
    (pieces.next().is_none() && rest.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [&str; 8] = [
        report!(concat, model),
        report!(concat, spin),
        report!(concat, operator),
        report!(concat, output),
        report!(concat, inference),
        report!(concat, bytes),
        report!(concat, done),
        report!(concat, update),
    ];

    #[test]
    fn every_report_has_the_mark_and_a_kind_of_its_own() {
        for (index, format) in FORMATS.iter().enumerate() {
            assert!(format.starts_with(MARK), "{format}");
            let kind = |format: &'static str| format.split(' ').next();
            let same = FORMATS.iter().filter(|other| kind(other) == kind(format));
            assert_eq!(same.count(), 1, "{index}");
        }
    }

    #[test]
    fn values_are_read_in_their_order() {
        let format = report!(concat, operator);
        let line = "fewbit:operator input=3 op=12 cost=400 crc=00c0ffee";
        assert_eq!(values(format, line), Some(["3", "12", "400", "00c0ffee"]));
        let format = report!(concat, output);
        let line = "fewbit:output input=3 port=1 bytes=[0a, ff, 80]";
        assert_eq!(values(format, line), Some(["3", "1", "[0a, ff, 80]"]));
    }

    #[test]
    fn a_line_with_other_words_is_none() {
        let format = report!(concat, done);
        assert_eq!(
            values(format, "fewbit:done inputs=1 stack=2"),
            Some(["1", "2"])
        );
        for line in [
            "",
            "fewbit:done",
            "fewbit:done inputs=1",
            "fewbit:done stack=2 inputs=1",
            "fewbit:done inputs=1 stack",
            "fewbit:inference inputs=1 stack=2",
        ] {
            assert_eq!(values::<2>(format, line), None, "{line}");
        }
        // As many as the format has.
        assert_eq!(values::<1>(format, "fewbit:done inputs=1 stack=2"), None);
        assert_eq!(values::<3>(format, "fewbit:done inputs=1 stack=2"), None);
    }
}
