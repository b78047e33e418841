//! The errors of a reconciliation. The class of an error alone decides what happens next.

use manyworlds_api::conditions::Reason;
use manyworlds_api::errors::error_chain;
use manyworlds_api::object::IncompleteMetadata;
use manyworlds_ledger::LedgerError;
use manyworlds_telemetry::{ErrorClass, ObjectLabel};

/// An error that keeps a reconciliation from its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The API server refused a request or was not reached.
    #[error("the request to {action} failed")]
    Api {
        /// The request, in words.
        action: String,
        /// The API server's answer.
        #[source]
        source: kube::Error,
    },
    /// The API server does not take a World or a pod of an order: a quota, an admission rule, a missing right, a field.
    #[error(
        "a {kind} of the order is refused; no slot is held for it, and it is tried again by itself. Raise the quota, change the admission rule or the field, or grant the right that the answer names"
    )]
    Refused {
        /// Kind of the object.
        kind: &'static str,
        /// The API server's answer.
        #[source]
        source: kube::Error,
    },
    /// An object of that name belongs to somebody else.
    #[error("{kind} {name} exists and does not belong to this order; delete it or rename the order")]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An object of that name belongs to an earlier order of the same name and is still being removed.
    #[error("{kind} {name} of an earlier order is still being removed")]
    StillGoing {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The network policy of a namespace was changed or removed while it was being put in place.
    #[error(
        "the NetworkPolicy {policy} of the namespace {namespace} was changed or removed by somebody else, and no pod starts without it; leave it to the operator, or set worlds.networkPolicy.enabled to false"
    )]
    PolicyChanged {
        /// Name of the policy.
        policy: &'static str,
        /// The namespace.
        namespace: String,
    },
    /// The ledger does not answer. Without it nobody knows what was spent.
    #[error("the ledger could not be asked")]
    Ledger(#[from] LedgerError),
    /// An object has no name or uid, and a write could reach another one.
    #[error("the object is not written")]
    Incomplete(#[from] IncompleteMetadata),
    /// An object cannot be written as JSON.
    #[error("an object cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// A step panicked.
    #[error("the operator has a fault, which its log names; report it")]
    Panicked,
}

impl ReconcileError {
    /// Returns the class of the error.
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Self::Api { source: kube::Error::Api(status), .. }
            | Self::Refused { source: kube::Error::Api(status), .. } => match status.code {
                409 | 404 | 410 => ErrorClass::Conflict,
                401 | 403 => ErrorClass::Permission,
                400 | 405 | 413 | 422 => ErrorClass::Spec,
                _ => ErrorClass::Transient,
            },
            Self::PolicyChanged { .. } => ErrorClass::Conflict,
            Self::Api { source: kube::Error::BuildRequest(_) | kube::Error::SerdeError(_), .. }
            | Self::Json(_)
            | Self::Incomplete(_)
            | Self::Panicked => ErrorClass::Bug,
            Self::Api { .. } | Self::Refused { .. } | Self::StillGoing { .. } | Self::Ledger(_) => {
                ErrorClass::Transient
            }
            Self::Foreign { .. } => ErrorClass::Spec,
        }
    }

    /// Returns the same as an error of making an object of an order, where only a person can cure it.
    pub(crate) fn of_making(self, kind: ObjectLabel) -> Self {
        let for_a_person = matches!(self.class(), ErrorClass::Permission | ErrorClass::Spec);
        match self {
            Self::Api { source, .. } if for_a_person => Self::Refused { kind: kind.as_str(), source },
            other => other,
        }
    }

    /// Returns the reason and the sentence that the object shows, where a person should know.
    pub(crate) fn to_show(&self) -> Option<(Reason, String)> {
        let reason = match self.class() {
            ErrorClass::Permission => Reason::PermissionDenied,
            ErrorClass::Spec => Reason::Rejected,
            ErrorClass::Transient if matches!(self, Self::StillGoing { .. }) => Reason::AwaitingCleanup,
            ErrorClass::Bug => Reason::Unexpected,
            ErrorClass::Transient | ErrorClass::Conflict => return None,
        };
        Some((reason, error_chain(self)))
    }
}
