//! Masks a text or document that is there as a whole.

use std::borrow::Cow;

use manyworlds_masking::{Filter, Findings};

use super::json;

/// Masks a text that is no JSON.
pub(super) fn text<'a>(filter: &Filter, text: &'a str, findings: &mut Findings) -> Cow<'a, str> {
    let (masked, found) = filter.mask(text);
    findings.add(found);
    masked
}

/// Masks every text of a valid JSON document. Returns nothing where it does not change.
pub(super) fn document(filter: &Filter, document: &str, findings: &mut Findings) -> Option<String> {
    json::rewritten(document, |_, text| replacement(filter, &text, findings))
}

/// Returns the masked text, or nothing where it does not change.
pub(super) fn replacement(filter: &Filter, text: &str, findings: &mut Findings) -> Option<String> {
    let (masked, found) = filter.mask(text);
    (!found.is_empty()).then(|| {
        findings.add(found);
        masked.into_owned()
    })
}

/// Masks a body: as JSON where it is JSON, otherwise as a text. Returns nothing where it does not change.
pub(super) fn body(filter: &Filter, body: &[u8], findings: &mut Findings) -> Option<String> {
    let read = String::from_utf8_lossy(body);
    if serde_json::from_str::<serde::de::IgnoredAny>(&read).is_ok() {
        return document(filter, &read, findings);
    }
    replacement(filter, &read, findings)
}
