//! The kinds that the operator watches and writes.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Resource;
use kube::core::PartialObjectMeta;
use manyworlds_api::conditions::Truth;
use manyworlds_telemetry::ObjectLabel;

/// A kind, with what is particular about it for the code that works for all kinds.
pub(crate) trait Kind: Resource<DynamicType = ()> {
    /// The name of the kind in metrics and logs.
    const LABEL: ObjectLabel;
    /// The status of an object that this version cannot read. Without one there is an Event only.
    const UNREADABLE: Option<UnreadableStatus> = None;
}

/// The part of a status that says that the object cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnreadableStatus {
    /// Type of the condition.
    pub(crate) condition: &'static str,
    /// Status of the condition.
    pub(crate) truth: Truth,
    /// The condition that is True once the object is over. Nothing is written from then on.
    pub(crate) unless: Option<&'static str>,
    /// The field of the status that holds the reason, where there is one.
    pub(crate) summary: Option<&'static str>,
}

impl Kind for Pod {
    const LABEL: ObjectLabel = ObjectLabel::Pod;
}

impl Kind for Node {
    const LABEL: ObjectLabel = ObjectLabel::Node;
}

impl Kind for NetworkPolicy {
    const LABEL: ObjectLabel = ObjectLabel::NetworkPolicy;
}

/// A policy of which no more than its metadata is read.
impl Kind for PartialObjectMeta<NetworkPolicy> {
    const LABEL: ObjectLabel = ObjectLabel::NetworkPolicy;
}

impl Kind for Event {
    const LABEL: ObjectLabel = ObjectLabel::Event;
}
