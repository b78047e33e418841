//! The secrets that the operator has read, by value, for whoever prints or sends something (S5).
//!
//! They are the keys of Providers and the password of the ledger. Credentials of repositories are not among them: only a
//! World's `prepare` sees one, and masks it by itself.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use manyworlds_masking::Filter;
use manyworlds_telemetry::{Mask, Metrics};
use percent_encoding::percent_decode_str;
use url::{Position, Url};

/// The most values that are known. Those that were read longest ago go first: the present ones are read again and again.
const MOST: usize = 4096;
/// The most values that are known of one namespace: present keys of its Providers, and replaced ones. More would take the places of
/// other namespaces.
const MOST_OF_NAMESPACE: usize = 64;
/// Values of fewer bytes stay in logs: they would blacken ordinary words.
const SHORTEST_IN_LOGS: usize = 8;
/// Values of fewer bytes stay in prompts: who sends a list of words must not learn from what is masked which of them is a secret.
const SHORTEST_IN_PROMPTS: usize = 16;

/// The secrets that are known. Clones share them.
#[derive(Clone, Default)]
pub struct KnownSecrets(Arc<Inner>);

struct Inner {
    known: Mutex<Known>,
    logs: RwLock<Filter>,
}

/// The values, and the filters of prompts that were made of them since the last one came.
#[derive(Default)]
struct Known {
    /// The latest last.
    values: VecDeque<OwnedValue>,
    /// By namespace.
    prompts: HashMap<String, Filter>,
}

/// A value, and whose it is.
#[derive(Clone, PartialEq, Eq)]
struct OwnedValue {
    owner: Owner,
    value: String,
}

/// Whose a value is. It is masked in the prompts of its owner alone: elsewhere, that it is masked would tell strangers that their
/// guess is right.
#[derive(Clone, PartialEq, Eq)]
enum Owner {
    /// The operator's own. No prompt has it, so it is masked in logs alone.
    Operator,
    Namespace(String),
}

impl Default for Inner {
    fn default() -> Self {
        Self { known: Mutex::default(), logs: RwLock::new(Filter::by_pattern()) }
    }
}

impl Known {
    /// Takes a value as the latest, and returns whether it was not known.
    fn add(&mut self, added: OwnedValue) -> bool {
        let place = self.values.iter().position(|known| *known == added);
        let is_new = place.and_then(|place| self.values.remove(place)).is_none();
        let is_full = self.values.iter().filter(|known| known.owner == added.owner).count() >= MOST_OF_NAMESPACE;
        let oldest = self.values.iter().position(|known| known.owner == added.owner);
        if let Some(oldest) = oldest.filter(|_| is_full) {
            self.values.remove(oldest);
        }
        self.values.push_back(added);
        let surplus = self.values.len().saturating_sub(MOST);
        self.values.drain(..surplus);
        if is_new {
            self.prompts.clear();
        }
        is_new
    }

    /// Returns the filter of the prompts of a namespace.
    fn prompts_of(&mut self, namespace: &str) -> Filter {
        if let Some(made) = self.prompts.get(namespace) {
            return made.clone();
        }
        let owner = Owner::Namespace(namespace.to_owned());
        let own = self.values.iter().filter(|known| known.owner == owner).map(|known| known.value.as_str());
        let made = Filter::by_pattern().with_values(own, SHORTEST_IN_PROMPTS);
        self.prompts.insert(namespace.to_owned(), made.clone());
        made
    }
}

impl KnownSecrets {
    /// Notes a value that was read from a Secret of a namespace.
    ///
    /// - **Guarantees:** one that was replaced stays known: it may be valid for a while, and on its way.
    pub fn note(&self, namespace: &str, value: &str) {
        self.note_of(Owner::Namespace(namespace.to_owned()), value);
    }

    fn note_of(&self, owner: Owner, value: &str) {
        let mut known = self.known();
        if !known.add(OwnedValue { owner, value: value.to_owned() }) {
            return;
        }
        let all = known.values.iter().map(|known| known.value.as_str());
        let logs = Filter::by_pattern().with_values(all, SHORTEST_IN_LOGS);
        *self.0.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the password of an address such as `postgres://user:password@host/database`, as it is written and as it is meant.
    pub fn note_address(&self, address: &str) {
        let Ok(url) = Url::parse(address) else { return };
        let Some(password) = url.password() else { return };
        self.note_of(Owner::Operator, &percent_decode_str(password).decode_utf8_lossy());
        self.note_of(Owner::Operator, password);
        // It may be written with characters that a URL has as escapes.
        let behind = address.strip_prefix(&url[..Position::BeforePassword]);
        if let Some(written) = behind.and_then(|behind| behind.strip_suffix(&url[Position::AfterPassword..])) {
            self.note_of(Owner::Operator, written);
        }
    }

    /// Returns the filter of what Worlds of a namespace send to models and get from them.
    pub fn for_prompts(&self, namespace: &str) -> Filter {
        self.known().prompts_of(namespace)
    }

    fn for_logs(&self) -> Filter {
        self.0.logs.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        secrets.note("team", "canary-of-the-provider");
        secrets.note("team", "another-key-of-it-now");
        secrets.note("team", "another-key-of-it-now");
        let line = r#"{"message":"canary-of-the-provider, another-key-of-it-now, AKIAABCDEFGHIJKLMNOP"}"#;
        assert_eq!(mask(line).as_deref(), Some(r#"{"message":"***, ***, ***"}"#));
        assert_eq!(secrets.for_prompts("team").masked(line), r#"{"message":"***, ***, ***"}"#);
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
        secrets.note("team", "postgres");
        assert_eq!(secrets.for_prompts("team").masked("use postgres"), "use postgres");
        assert_eq!(secrets.for_logs().masked("use postgres"), "use ***");
    }

    #[test]
    fn a_value_of_one_namespace_is_masked_in_no_prompt_of_another() {
        let secrets = KnownSecrets::default();
        secrets.note("team", "the-key-of-the-team");
        secrets.note("others", "the-key-of-others-1");
        secrets.note_address("postgres://manyworlds:the-ledgers-password@host/manyworlds");
        let said = "the-key-of-the-team, the-key-of-others-1, the-ledgers-password";
        for (namespace, expected) in [
            ("team", "***, the-key-of-others-1, the-ledgers-password"),
            ("others", "the-key-of-the-team, ***, the-ledgers-password"),
            ("third", said),
        ] {
            assert_eq!(secrets.for_prompts(namespace).masked(said), expected, "{namespace}");
        }
        assert_eq!(secrets.for_logs().masked(said), "***, ***, ***");
        secrets.note("third", "the-key-of-the-team");
        assert_eq!(secrets.for_prompts("third").masked("the-key-of-the-team"), "***", "a key may be of two");
    }

    #[test]
    fn what_is_read_again_is_not_forgotten() {
        let value = |namespace: usize| OwnedValue {
            owner: Owner::Namespace(format!("team-{namespace}")),
            value: "a-key".to_owned(),
        };
        let mut known = Known { values: (0..MOST).map(value).collect(), ..Known::default() };
        assert!(!known.add(value(0)), "it is known");
        assert!(known.add(value(MOST)));
        assert!(known.values.len() == MOST && known.values.contains(&value(0)));
        assert!(!known.values.contains(&value(1)), "the oldest goes");
    }

    #[test]
    fn a_namespace_with_many_keys_takes_no_places_of_others() {
        let mut known = Known::default();
        let value =
            |namespace: &str, value: String| OwnedValue { owner: Owner::Namespace(namespace.to_owned()), value };
        known.add(value("others", "their-key".to_owned()));
        for number in 0..3 * MOST_OF_NAMESPACE {
            known.add(value("team", format!("key-{number}")));
        }
        assert_eq!(known.values.len(), MOST_OF_NAMESPACE + 1);
        assert!(known.values.contains(&value("others", "their-key".to_owned())));
        assert!(known.values.contains(&value("team", format!("key-{}", 3 * MOST_OF_NAMESPACE - 1))));
    }
}
