//! Money: a decimal text outside, whole trillionths of a dollar inside.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The trillionths of a dollar.
const TRILLIONTHS_IN_A_DOLLAR: u128 = 1_000_000_000_000;
/// Digits behind the point that a text may have.
const FRACTION_DIGITS: usize = 12;

/// An amount of United States dollars, never negative.
///
/// - **Units:** 1e-12 dollars, so that the price of one token is a whole number.
/// - **Shape:** written with at most nine digits before and twelve behind the point, without trailing zeros beyond cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money {
    trillionths: u128,
}

/// Why a text is no [`Money`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is not an amount of money; write dollars as \"5.00\", at most nine digits before and twelve behind the point"
)]
pub struct MoneyError {
    text: String,
}

impl Money {
    /// Returns an amount of whole trillionths of a dollar.
    pub const fn from_trillionths(trillionths: u128) -> Self {
        Self { trillionths }
    }

    /// Returns the amount in trillionths of a dollar.
    pub const fn trillionths(self) -> u128 {
        self.trillionths
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || MoneyError { text: text.to_owned() };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 9) || !digits(fraction, FRACTION_DIGITS) {
            return Err(refused());
        }
        let dollars: u128 = whole.parse().map_err(|_| refused())?;
        let parts: u128 = format!("{fraction:0<FRACTION_DIGITS$}").parse().map_err(|_| refused())?;
        Ok(Self { trillionths: dollars * TRILLIONTHS_IN_A_DOLLAR + parts })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:012}", self.trillionths % TRILLIONTHS_IN_A_DOLLAR);
        let (cents, beyond) = fraction.split_at(2);
        write!(formatter, "{}.{cents}{}", self.trillionths / TRILLIONTHS_IN_A_DOLLAR, beyond.trim_end_matches('0'))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 22,
            "pattern": r"^[0-9]{1,9}(\.[0-9]{1,12})?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_always_written() {
        for (text, written) in [("5", "5.00"), ("5.5", "5.50"), ("0.000003", "0.000003"), ("0", "0.00")] {
            assert_eq!(text.parse::<Money>().map(|money| money.to_string()), Ok(written.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["", "-1", "1e3", "five", "1.", ".5", "1.0000000000001", "1234567890"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reading_what_was_written_gives_the_same(trillionths in 0..1_000_000_000_000_000_000_000_u128) {
            let money = Money::from_trillionths(trillionths);
            proptest::prop_assert_eq!(money.to_string().parse::<Money>(), Ok(money));
        }
    }
}
