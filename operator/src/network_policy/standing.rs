//! Which policies stand as they were written, by what the watch and the answers to our own writes say.
//!
//! What a policy says is not compared: the API server fills fields in, and writes others in its own way. It counts a policy's
//! generation up with every change of its specification, so that the policy stands for as long as it has the uid and the
//! generation that our last write has left it with.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::ObjectMeta;
use manyworlds_api::object::ResourceVersion;
use tokio::sync::Mutex;

/// The policies of all namespaces, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Standing {
    namespaces: HashMap<Arc<str>, Known>,
    /// The newest version that the watch has delivered.
    watched: ResourceVersion,
}

/// The policy of one namespace.
#[derive(Debug, Default)]
struct Known {
    /// What our last write has left.
    written: Option<Form>,
    /// What there is now, with its version.
    current: Option<(ResourceVersion, Form)>,
    /// Held by who writes it, so that nobody goes on before the write is answered, and nobody writes the same once more.
    turn: Arc<Mutex<()>>,
}

/// One form of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    uid: Arc<str>,
    generation: Option<i64>,
}

/// A policy, as the API server has it.
#[derive(Clone, Debug)]
pub(super) struct SeenPolicy {
    pub(super) namespace: Arc<str>,
    version: ResourceVersion,
    form: Form,
}

impl SeenPolicy {
    /// Reads which policy it is, and which form of it.
    ///
    /// - **Shape:** `None` where the metadata have no namespace, uid or version, which no policy of the API server lacks.
    pub(super) fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            namespace: metadata.namespace.as_deref()?.into(),
            version: metadata.resource_version.as_deref()?.parse().ok()?,
            form: Form { uid: metadata.uid.as_deref()?.into(), generation: metadata.generation },
        })
    }
}

impl Standing {
    /// Returns whether the policy of a namespace is as it was last written.
    pub(super) fn is_in_place(&self, namespace: &str) -> bool {
        let Some(Known { written: Some(written), current: Some((_, current)), .. }) = self.namespaces.get(namespace)
        else {
            return false;
        };
        written == current
    }

    /// Returns what is held by who writes the policy of a namespace.
    pub(super) fn turn(&mut self, namespace: &Arc<str>) -> Arc<Mutex<()>> {
        self.namespaces.entry(namespace.clone()).or_default().turn.clone()
    }

    /// Takes note of a policy that the watch has seen. One older than the answer to our own write tells nothing.
    pub(super) fn seen(&mut self, policy: SeenPolicy) {
        let SeenPolicy { namespace, version, form } = policy;
        self.watched = self.watched.max(version);
        let known = self.namespaces.entry(namespace).or_default();
        if known.current.as_ref().is_none_or(|(newest, _)| *newest <= version) {
            known.current = Some((version, form));
        }
    }

    /// Takes note that a policy is gone. There may be another one of its name by now, which is none of this one's business.
    pub(super) fn gone(&mut self, namespace: &str, uid: &str, version: ResourceVersion) {
        self.watched = self.watched.max(version);
        if let Some(known) = self.namespaces.get(namespace)
            && known.current.as_ref().is_none_or(|(_, form)| *form.uid == *uid)
        {
            self.namespaces.remove(namespace);
        }
    }

    /// Takes note of a policy as the API server answered to a write of ours.
    ///
    /// An answer that is no newer than what the watch has delivered tells what we wrote, and not what there is: the policy may
    /// have gone since.
    pub(super) fn written(&mut self, policy: SeenPolicy) {
        let SeenPolicy { namespace, version, form } = policy;
        let known = self.namespaces.entry(namespace).or_default();
        known.written = Some(form.clone());
        if version > self.watched {
            known.current = Some((version, form));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(uid: &str, generation: i64, version: u64) -> SeenPolicy {
        let metadata = ObjectMeta {
            namespace: Some("team".to_owned()),
            uid: Some(uid.to_owned()),
            generation: Some(generation),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        SeenPolicy::of(&metadata).unwrap()
    }

    fn version(number: u64) -> ResourceVersion {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn a_policy_is_in_place_from_the_answer_to_its_write() {
        let mut standing = Standing::default();
        assert!(!standing.is_in_place("team"));
        standing.written(policy("a", 1, 5));
        assert!(standing.is_in_place("team"), "nothing of it was seen yet");
        standing.seen(policy("a", 1, 5));
        assert!(standing.is_in_place("team"));
        standing.seen(policy("a", 1, 6));
        assert!(standing.is_in_place("team"), "a label was changed, and no rule");
        assert!(!standing.is_in_place("other"));
    }

    #[test]
    fn what_was_there_before_our_own_write_is_not_known_to_be_right() {
        let mut standing = Standing::default();
        standing.seen(policy("a", 1, 5));
        assert!(!standing.is_in_place("team"));
        // The API server answers to a write that changes nothing with the version that there was.
        standing.written(policy("a", 1, 5));
        assert!(standing.is_in_place("team"));
    }

    #[test]
    fn a_changed_or_removed_policy_is_not_in_place_until_it_is_written_again() {
        let mut standing = Standing::default();
        standing.written(policy("a", 1, 5));
        standing.seen(policy("a", 2, 6));
        assert!(!standing.is_in_place("team"));
        standing.written(policy("a", 3, 7));
        assert!(standing.is_in_place("team"));
        standing.seen(policy("a", 2, 6));
        assert!(standing.is_in_place("team"), "an event of before our write");
        standing.gone("team", "a", version(8));
        assert!(!standing.is_in_place("team"));
        standing.written(policy("b", 1, 9));
        assert!(standing.is_in_place("team"));
        standing.gone("team", "a", version(8));
        assert!(standing.is_in_place("team"), "the one that went is another one");
    }

    #[test]
    fn an_answer_that_comes_after_the_removal_puts_nothing_in_place() {
        let mut standing = Standing::default();
        standing.seen(policy("a", 1, 5));
        standing.gone("team", "a", version(6));
        standing.written(policy("a", 1, 5));
        assert!(!standing.is_in_place("team"));
    }
}
