//! Options that are one of a few words, as arguments.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use fewbit::recipe::Choice;

/// Parser that accepts the words of a [`Choice`], and lists them with their meanings.
pub fn choice<C: Choice + Send + Sync>() -> impl TypedValueParser<Value = C> {
    let words = C::ALL
        .iter()
        .map(|choice| PossibleValue::new(choice.name()).help(choice.meaning()));
    PossibleValuesParser::new(words).try_map(|word| {
        let found = C::ALL.iter().find(|choice| choice.name() == word);
        found
            .copied()
            .ok_or_else(|| format!("{word} is not one of the words"))
    })
}
