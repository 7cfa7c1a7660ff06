//! Options that are one of a few words.

/// An option that is one of a few words, in recipes and on the command line alike.
pub trait Choice: Copy + 'static {
    /// All choices, in the order in which they are listed.
    const ALL: &'static [Self];

    /// Name in recipes, such as `per-channel`.
    fn name(self) -> &'static str;

    /// Meaning, as a sentence without its full stop.
    fn meaning(self) -> &'static str;
}

/// Defines an enum that is a [`Choice`]: each variant's word follows it, and its doc comment is what it means.
macro_rules! choices {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident, $default:ident by default {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(
                $(#[doc = $doc])+
                #[serde(rename = $word)]
                $variant,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                const DEFAULT: $name = $name::$default;
                DEFAULT
            }
        }

        impl $crate::choice::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+).trim().trim_end_matches('.'),)+
                }
            }
        }
    };
}

pub(crate) use choices;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::RangeMethod;
    use crate::recipe::{
        BiasCorrection, DataFreeMethod, Equalize, Granularity, RoundingMethod, WeightBits,
    };

    fn check<C: Choice + Default + PartialEq + serde::Serialize>() {
        assert!(C::ALL.contains(&C::default()));
        for (index, choice) in C::ALL.iter().enumerate() {
            let written = serde_json::to_string(choice).expect("a word");
            assert_eq!(written, format!("{:?}", choice.name()));
            assert!(choice.meaning().len() > 3 && !choice.meaning().ends_with('.'));
            let same = C::ALL
                .iter()
                .position(|other| other.name() == choice.name());
            assert_eq!(same, Some(index), "a word stands for one choice");
        }
    }

    #[test]
    fn the_words_are_those_of_recipes() {
        check::<BiasCorrection>();
        check::<DataFreeMethod>();
        check::<Equalize>();
        check::<Granularity>();
        check::<RangeMethod>();
        check::<RoundingMethod>();
        check::<WeightBits>();
    }
}
