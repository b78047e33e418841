//! The secrets that the operator has read, by value, for whoever prints or sends something (S5).
//!
//! They are the keys of Providers and the password of the ledger. Credentials of repositories are not among them: only a
//! World's `prepare` sees one, and masks it by itself.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use manyworlds_masking::Filter;
use manyworlds_telemetry::{Mask, Metrics};
use percent_encoding::percent_decode_str;
use url::{Position, Url};

/// The most values that are known. Those that were read longest ago go first: the present ones are read again and again.
const MOST: usize = 4096;
/// Values of fewer bytes stay in logs: they would blacken ordinary words.
const SHORTEST_IN_LOGS: usize = 8;
/// Values of fewer bytes stay in prompts: who sends a list of words must not learn from what is masked which of them is a secret.
const SHORTEST_IN_PROMPTS: usize = 16;

/// The secrets that are known. Clones share them.
#[derive(Clone, Default)]
pub struct KnownSecrets(Arc<Inner>);

struct Inner {
    /// The latest last.
    values: Mutex<VecDeque<String>>,
    filters: RwLock<Filters>,
}

struct Filters {
    logs: Filter,
    prompts: Filter,
}

impl Default for Inner {
    fn default() -> Self {
        let filters = Filters { logs: Filter::by_pattern(), prompts: Filter::by_pattern() };
        Self { values: Mutex::default(), filters: RwLock::new(filters) }
    }
}

impl KnownSecrets {
    /// Notes a value that was read.
    ///
    /// - **Guarantees:** one that was replaced stays known: it may be valid for a while, and on its way.
    pub fn note(&self, value: &str) {
        let mut values = self.0.values.lock().unwrap_or_else(PoisonError::into_inner);
        let place = values.iter().position(|known| known == value);
        let known = place.and_then(|place| values.remove(place));
        let is_new = known.is_none();
        values.push_back(known.unwrap_or_else(|| value.to_owned()));
        if !is_new {
            return;
        }
        let surplus = values.len().saturating_sub(MOST);
        values.drain(..surplus);
        let all = || values.iter().map(String::as_str);
        let logs = Filter::by_pattern().with_values(all(), SHORTEST_IN_LOGS);
        let prompts = Filter::by_pattern().with_values(all(), SHORTEST_IN_PROMPTS);
        *self.0.filters.write().unwrap_or_else(PoisonError::into_inner) = Filters { logs, prompts };
    }

    /// Notes the password of an address such as `postgres://user:password@host/database`, as it is written and as it is meant.
    pub fn note_address(&self, address: &str) {
        let Ok(url) = Url::parse(address) else { return };
        let Some(password) = url.password() else { return };
        self.note(&percent_decode_str(password).decode_utf8_lossy());
        self.note(password);
        // It may be written with characters that a URL has as escapes.
        let behind = address.strip_prefix(&url[..Position::BeforePassword]);
        if let Some(written) = behind.and_then(|behind| behind.strip_suffix(&url[Position::AfterPassword..])) {
            self.note(written);
        }
    }

    /// Returns the filter of what goes to models and comes from them.
    pub fn for_prompts(&self) -> Filter {
        self.0.filters.read().unwrap_or_else(PoisonError::into_inner).prompts.clone()
    }

    fn for_logs(&self) -> Filter {
        self.0.filters.read().unwrap_or_else(PoisonError::into_inner).logs.clone()
    }

    /// Returns what masks the lines of a log, and counts what it masks.
    pub fn mask(&self, metrics: &Metrics) -> Mask {
        let (secrets, masked) = (self.clone(), metrics.secrets_masked.clone());
        Arc::new(move |line| {
            let filter = secrets.for_logs();
            let (text, findings) = filter.mask(line);
            findings.iter().for_each(|found| masked.with_label_values(&[found.pattern_id]).inc_by(found.count));
            (!findings.is_empty()).then(|| text.into_owned())
        })
    }

    /// Returns an error that says what another and its causes do, masked.
    pub fn masked(&self, error: &(dyn Error + 'static)) -> Box<dyn Error + Send + Sync> {
        self.for_logs().masked(&manyworlds_api::errors::error_chain(error)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_masked_also_after_it_was_replaced() {
        let metrics = Metrics::new("test").unwrap();
        let secrets = KnownSecrets::default();
        let mask = secrets.mask(&metrics);
        assert_eq!(mask("canary-of-the-provider"), None);
        secrets.note("canary-of-the-provider");
        secrets.note("another-key-of-it-now");
        secrets.note("another-key-of-it-now");
        let line = r#"{"message":"canary-of-the-provider, another-key-of-it-now, AKIAABCDEFGHIJKLMNOP"}"#;
        assert_eq!(mask(line).as_deref(), Some(r#"{"message":"***, ***, ***"}"#));
        assert_eq!(secrets.for_prompts().masked(line), r#"{"message":"***, ***, ***"}"#);
        assert_eq!(metrics.secrets_masked.with_label_values(&["secret-value"]).get(), 2);
        assert_eq!(metrics.secrets_masked.with_label_values(&["amazon-key"]).get(), 1);
    }

    #[test]
    fn a_ledgers_password_is_known_as_it_is_written_and_as_it_is_meant() {
        let secrets = KnownSecrets::default();
        secrets.note_address("postgres://manyworlds:pass%40word-of-it@host:5432/manyworlds?sslmode=require");
        secrets.note_address("sqlite:///var/lib/manyworlds/ledger/ledger.db");
        let said = "postgres://manyworlds:pass%40word-of-it@host: password pass@word-of-it is wrong";
        assert_eq!(secrets.for_logs().masked(said), "postgres://manyworlds:***@host: password *** is wrong");
        secrets.note_address("postgres://manyworlds:a^half@%40-escaped-one@host/manyworlds");
        assert_eq!(secrets.for_logs().masked("a^half@%40-escaped-one, a^half@@-escaped-one"), "***, ***");
        let error = std::io::Error::other(said);
        assert!(!secrets.masked(&error).to_string().contains("word-of-it"));
    }

    #[test]
    fn a_short_value_blackens_no_prompt() {
        let secrets = KnownSecrets::default();
        secrets.note("postgres");
        assert_eq!(secrets.for_prompts().masked("use postgres"), "use postgres");
        assert_eq!(secrets.for_logs().masked("use postgres"), "use ***");
    }

    #[test]
    fn what_is_read_again_is_not_forgotten() {
        let secrets = KnownSecrets::default();
        secrets.note("the-present-key-of-it");
        // Filters are made anew for each; what they are made of is enough here.
        let mut values: VecDeque<_> = (0..MOST).map(|number| format!("a-replaced-key-{number:06}")).collect();
        values.push_back("the-present-key-of-it".to_owned());
        values.pop_front();
        *secrets.0.values.lock().unwrap() = values;
        secrets.note("a-new-key-of-something");
        assert_eq!(secrets.for_prompts().masked("the-present-key-of-it"), "***");
        assert_eq!(secrets.for_prompts().masked("a-replaced-key-000001"), "a-replaced-key-000001");
        assert_eq!(secrets.for_prompts().masked("a-replaced-key-000002"), "***");
    }
}
