//! Kubernetes quantities as whole numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A text that is no quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a Kubernetes quantity such as 500m, 2, 8Gi or 1e9")]
pub struct QuantityError {
    text: String,
}

/// Returns the quantity in thousandths of its unit, rounded up.
///
/// - **Shape:** decimal digits with at most one point, then a suffix: `n u m k M G T P E`, `Ki Mi Gi Ti Pi Ei`, or an exponent.
/// - **Source:** <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
///
/// # Errors
///
/// [`QuantityError`] (class: spec) when the text is not of that shape, is negative, or is too large for 128 bits.
pub fn thousandths(quantity: &Quantity) -> Result<u128, QuantityError> {
    let text = quantity.0.as_str();
    let refused = || QuantityError { text: text.to_owned() };
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(refused());
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| refused())?;
    let (numerator, denominator) = scale(suffix).ok_or_else(refused)?;
    let places = u32::try_from(fraction.len()).map_err(|_| refused())?;
    let divisor = 10_u128.checked_pow(places).and_then(|power| power.checked_mul(denominator)).ok_or_else(refused)?;
    let product = digits.checked_mul(numerator).and_then(|product| product.checked_mul(1000)).ok_or_else(refused)?;
    Ok(product.div_ceil(divisor))
}

/// Returns the factor of a suffix as numerator and denominator.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let scaled = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return exponent(suffix),
    };
    Some(scaled)
}

fn exponent(suffix: &str) -> Option<(u128, u128)> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let factor = 10_u128.checked_pow(power.unsigned_abs())?;
    Some(if power < 0 { (1, factor) } else { (factor, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_suffix() {
        for (text, expected) in [
            ("2", 2000),
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("1n", 1),
            ("8Gi", 8 * 1024 * 1024 * 1024 * 1000),
            ("1.5Ki", 1536 * 1000),
            ("1e3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("5e-1", 500),
        ] {
            assert_eq!(thousandths(&Quantity(text.to_owned())), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in ["", ".", "-1", "two", "1.2.3", "1Zi", "1 Gi", "99999999999999999999999999999999999999E"] {
            assert!(thousandths(&Quantity(text.to_owned())).is_err(), "{text}");
        }
    }
}
