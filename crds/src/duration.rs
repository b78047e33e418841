//! Durations as people write them in a manifest: `30m`, `1h30m`, `500ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, never negative.
///
/// - **Shape:** whole milliseconds; at most [`Duration::MAXIMUM`]. Written as Go writes durations, without zero parts.
/// - **Guarantees:** parsing the displayed text gives the same value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    milliseconds: u64,
}

/// The error for a text that is not a [`Duration`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a length of time; write it as 90s, 30m or 1h30m, not negative and at most 8760h")]
pub struct DurationError {
    text: String,
}

impl Duration {
    /// The longest duration in a manifest: a year.
    pub const MAXIMUM: Self = Self::from_seconds(365 * 24 * 3600);

    /// Returns a duration of whole milliseconds.
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Self { milliseconds }
    }

    /// Returns a duration of whole seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self::from_milliseconds(seconds * 1000)
    }

    /// Returns a duration of whole minutes.
    pub const fn from_minutes(minutes: u64) -> Self {
        Self::from_seconds(minutes * 60)
    }

    /// Returns the duration in milliseconds.
    pub const fn milliseconds(self) -> u64 {
        self.milliseconds
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_millis(duration.milliseconds)
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || DurationError { text: text.to_owned() };
        if text.is_empty() {
            return Err(refused());
        }
        let parsed: kube::core::Duration = text.parse().map_err(|_| refused())?;
        if parsed.is_negative() {
            return Err(refused());
        }
        let milliseconds = u64::try_from(std::time::Duration::from(parsed).as_millis()).map_err(|_| refused())?;
        let duration = Self { milliseconds };
        if duration > Self::MAXIMUM {
            return Err(refused());
        }
        Ok(duration)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milliseconds == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.milliseconds;
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= size {
                write!(formatter, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": r"^([0-9]{1,7}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, milliseconds) in
            [("30m", 1_800_000), ("1h30m", 5_400_000), ("500ms", 500), ("1.5s", 1500), ("0s", 0)]
        {
            assert_eq!(text.parse(), Ok(Duration::from_milliseconds(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_length_of_time() {
        for text in ["", "30", "-1s", "soon", "1d", "9000h"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reading_what_was_written_gives_the_same(milliseconds in 0..=Duration::MAXIMUM.milliseconds()) {
            let duration = Duration::from_milliseconds(milliseconds);
            proptest::prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        }
    }
}
