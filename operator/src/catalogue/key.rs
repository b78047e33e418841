//! The keys of Providers. Each is read by the name of its Secret; Secrets are never listed or watched.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use manyworlds_api::Provider;
use manyworlds_api::conditions::Reason;
use manyworlds_api::object::Stored;

/// The most bytes of a key: vendors give out some hundreds, and signed tokens have a few thousand. Each is searched for in every line of the log and every prompt.
const MOST_KEY_BYTES: usize = 4096;

/// An API key. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Returns the key itself, for the header of a call and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(hidden)")
    }
}

/// State of a Provider's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The Provider names no Secret.
    NotNeeded,
    /// The key was read.
    Here,
    /// The key is missing or may not be read; with a sentence on what to do.
    Problem(Reason, String),
}

impl KeyState {
    pub(super) fn problem(&self) -> Option<(Reason, String)> {
        match self {
            Self::NotNeeded | Self::Here => None,
            Self::Problem(reason, message) => Some((*reason, message.clone())),
        }
    }
}

/// Reads the key of a Provider.
///
/// - **Shape:** a failure is a state too, which the Provider shows.
pub(super) async fn read(client: &Client, account: &str, provider: &Stored<Provider>) -> (KeyState, Option<ApiKey>) {
    let Some(reference) = &provider.spec.secret_ref else { return (KeyState::NotNeeded, None) };
    let namespace = provider.namespace();
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    match secrets.get(&reference.name).await {
        Ok(secret) => match key_in(&secret, &reference.name, &reference.key) {
            Ok(key) => (KeyState::Here, Some(key)),
            Err(message) => (KeyState::Problem(Reason::SecretMissing, message), None),
        },
        Err(error) => (read_problem(&error, account, namespace, &reference.name, &reference.key), None),
    }
}

fn key_in(secret: &Secret, name: &str, key: &str) -> Result<ApiKey, String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let bytes = bytes
        .ok_or_else(|| format!("The Secret {name} has no key {key}; add it, or name another in secretRef.key."))?;
    // A line feed at the end is what `kubectl create secret --from-file` takes over from an editor.
    let text = std::str::from_utf8(&bytes.0).map(str::trim).unwrap_or_default();
    if text.len() > MOST_KEY_BYTES {
        return Err(format!(
            "The key {key} of the Secret {name} has more than {MOST_KEY_BYTES} bytes; put the API key there and nothing else."
        ));
    }
    if text.is_empty() || text.chars().any(|character| !character.is_ascii_graphic()) {
        return Err(format!(
            "The key {key} of the Secret {name} is empty or is not one word; put the API key there and nothing else."
        ));
    }
    Ok(ApiKey(text.to_owned()))
}

fn read_problem(error: &kube::Error, account: &str, namespace: &str, name: &str, key: &str) -> KeyState {
    let (reason, message) = match error {
        kube::Error::Api(status) if status.code == 404 => (
            Reason::SecretMissing,
            format!(
                "There is no Secret {name}; make it with: kubectl create secret generic {name} --namespace {namespace} --from-literal={key}=<the API key>"
            ),
        ),
        kube::Error::Api(status) if status.code == 403 => (
            Reason::PermissionDenied,
            format!(
                "The operator may not read the Secret {name}; allow it with: kubectl create role manyworlds-key-{name} --namespace {namespace} --verb=get --resource=secrets --resource-name={name} && kubectl create rolebinding manyworlds-key-{name} --namespace {namespace} --role=manyworlds-key-{name} --serviceaccount={account}"
            ),
        ),
        other => (
            Reason::Unexpected,
            format!("The Secret {name} cannot be read: {}.", manyworlds_api::errors::error_chain(other)),
        ),
    };
    KeyState::Problem(reason, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(value: &str) -> Secret {
        use k8s_openapi::ByteString;
        let data = [("apiKey".to_owned(), ByteString(value.as_bytes().to_vec()))];
        Secret {
            metadata: serde_json::from_value(json!({"name": "key"})).unwrap(),
            data: Some(data.into()),
            ..Secret::default()
        }
    }

    #[test]
    fn a_key_is_one_word_and_its_line_feed_is_none_of_it() {
        assert_eq!(key_in(&secret("sk-1\n"), "keys", "apiKey").unwrap().reveal(), "sk-1");
        assert!(key_in(&secret(""), "keys", "apiKey").unwrap_err().contains("is empty"));
        assert!(key_in(&secret("sk-1\r\nx-other: 1"), "keys", "apiKey").is_err(), "it would be a header of its own");
        assert!(key_in(&secret(&"k".repeat(MOST_KEY_BYTES)), "keys", "apiKey").is_ok());
        let long = key_in(&secret(&"k".repeat(MOST_KEY_BYTES + 1)), "keys", "apiKey").unwrap_err();
        assert!(long.contains("more than 4096 bytes") && !long.contains("kkk"), "{long}");
        assert!(key_in(&secret("sk-1"), "keys", "other").unwrap_err().contains("no key other"));
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = key_in(&secret("sk-canary"), "keys", "apiKey").unwrap();
        assert!(!format!("{key:?}").contains("canary"));
        let message = key_in(&secret("sk canary"), "keys", "apiKey").unwrap_err();
        assert!(!message.contains("canary"), "{message}");
    }
}
