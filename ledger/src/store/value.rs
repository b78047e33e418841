//! Values of columns, and the types of Rust that are stored as one.

use jiff::Timestamp;
use manyworlds_api::Money;
use serde::Serialize;

use crate::error::LedgerError;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number of 64 bits.
    Number,
    /// A text.
    Text,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    /// A number or nothing.
    Number(Option<i64>),
    /// A text or nothing.
    Text(Option<String>),
}

impl Value {
    /// Returns the value of a column without one.
    pub(crate) const fn none(kind: Kind) -> Self {
        match kind {
            Kind::Number => Self::Number(None),
            Kind::Text => Self::Text(None),
        }
    }

    const fn is_none(&self) -> bool {
        matches!(self, Self::Number(None) | Self::Text(None))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

/// A row of a table: its values in the order of the columns.
pub(crate) type Row = Vec<Value>;

/// A type that is stored in one column.
pub(crate) trait Field: Sized {
    /// The type of the column.
    const KIND: Kind;

    /// Returns the value that is stored.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Range`] when it does not fit.
    fn into_value(self) -> Result<Value, LedgerError>;

    /// Reads a stored value.
    ///
    /// # Errors
    ///
    /// The problem.
    fn of_value(value: Value) -> Result<Self, String>;
}

impl Field for String {
    const KIND: Kind = Kind::Text;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::Text(Some(self)))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(Some(text)) => Ok(text),
            Value::Number(Some(number)) => Err(format!("{number} is no text")),
            Value::Text(None) | Value::Number(None) => Err("there is no value".to_owned()),
        }
    }
}

impl Field for i64 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::Number(Some(self)))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Number(Some(number)) => Ok(number),
            Value::Text(Some(_)) => Err("a text is no number".to_owned()),
            Value::Text(None) | Value::Number(None) => Err("there is no value".to_owned()),
        }
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;

    fn into_value(self) -> Result<Value, LedgerError> {
        self.map_or_else(|| Ok(Value::none(T::KIND)), T::into_value)
    }

    fn of_value(value: Value) -> Result<Self, String> {
        if value.is_none() { Ok(None) } else { T::of_value(value).map(Some) }
    }
}

impl Field for u64 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        i64::try_from(self).map(Value::from).map_err(|_| LedgerError::Range("a count of tokens"))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        let number = i64::of_value(value)?;
        Self::try_from(number).map_err(|_| format!("{number} is no count"))
    }
}

impl Field for u32 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::Number(Some(self.into())))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        let number = i64::of_value(value)?;
        Self::try_from(number).map_err(|_| format!("{number} is no count of 32 bits"))
    }
}

impl Field for u16 {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::Number(Some(self.into())))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        let number = i64::of_value(value)?;
        Self::try_from(number).map_err(|_| format!("{number} is no count of 16 bits"))
    }
}

impl Field for bool {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::Number(Some(self.into())))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        match i64::of_value(value)? {
            0 => Ok(false),
            1 => Ok(true),
            number => Err(format!("{number} is neither 0 nor 1")),
        }
    }
}

/// Milliseconds since 1970.
impl Field for Timestamp {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        Ok(Value::Number(Some(self.as_millisecond())))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        let milliseconds = i64::of_value(value)?;
        Self::from_millisecond(milliseconds).map_err(|error| format!("{milliseconds} is no time: {error}"))
    }
}

/// Trillionths of a dollar.
impl Field for Money {
    const KIND: Kind = Kind::Number;

    fn into_value(self) -> Result<Value, LedgerError> {
        i64::try_from(self.trillionths()).map(Value::from).map_err(|_| LedgerError::Range("an amount of money"))
    }

    fn of_value(value: Value) -> Result<Self, String> {
        let number = i64::of_value(value)?;
        u128::try_from(number).map(Self::from_trillionths).map_err(|_| format!("{number} is no amount of money"))
    }
}
