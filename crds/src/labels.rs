//! Labels, annotations, environment variables and paths that the operator and the runner agree on.

/// Label of a World and its pods: name of the order.
pub const WORK_ORDER: &str = "manyworlds.dev/work-order";
/// Label of a World and its pods: name of the variant.
pub const WORLD: &str = "manyworlds.dev/world";
/// Label of a pod: number of the attempt.
pub const ATTEMPT: &str = "manyworlds.dev/attempt";
/// Label that says what made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on everything that the operator makes.
pub const MANAGER: &str = "manyworlds";

/// Name of the container that fetches the repository.
pub const PREPARE: &str = "prepare";
/// Name of the container that runs the worker.
pub const WORK: &str = "work";
/// Name of the container that runs the gates.
pub const EVALUATE: &str = "evaluate";

/// Audience of the token with which a World speaks to the operator.
pub const TOKEN_AUDIENCE: &str = "manyworlds";
/// Where that token is mounted.
pub const TOKEN_DIRECTORY: &str = "/var/run/secrets/manyworlds/token";
/// Name of the token's file in [`TOKEN_DIRECTORY`].
pub const TOKEN_FILE: &str = "token";
/// Audience of the token with which a World's worker speaks to the gateway, and to nobody else.
pub const GATEWAY_AUDIENCE: &str = "manyworlds-gateway";
/// Where that token is mounted, in `work` only. Its file is [`TOKEN_FILE`] too.
pub const GATEWAY_TOKEN_DIRECTORY: &str = "/var/run/secrets/manyworlds/gateway";
/// The name by which an order leaves the choice of the model to its worker. No model of a Provider is meant by it.
pub const AUTOMATIC_MODEL: &str = "auto";
/// Where `prepare` finds the credential of the repository.
pub const CREDENTIAL_DIRECTORY: &str = "/var/run/secrets/manyworlds/repository";

/// Written by `prepare`: the order, the pinned base and the mirror. Read-only afterwards.
pub const ORDER_DIRECTORY: &str = "/manyworlds/order";
/// Name of the order document in [`ORDER_DIRECTORY`].
pub const ORDER_FILE: &str = "order.json";
/// Name of the bare mirror in [`ORDER_DIRECTORY`].
pub const MIRROR: &str = "mirror.git";
/// Written by `prepare`: the runner's own program. Read-only afterwards.
pub const RUNNER_DIRECTORY: &str = "/manyworlds/bin";
/// Name of the runner's program, in its image's root and in [`RUNNER_DIRECTORY`].
pub const RUNNER_FILE: &str = "manyworlds-runner";
/// The worktree and what the worker leaves. Read-only for `evaluate`.
pub const WORK_DIRECTORY: &str = "/manyworlds/work";
/// Checkout, scratch and report of `evaluate`.
pub const EVALUATION_DIRECTORY: &str = "/manyworlds/evaluation";
/// Where a container leaves its report for the kubelet.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Environment variable: the order document as JSON, for `prepare` only.
pub const ENV_ORDER: &str = "MANYWORLDS_ORDER";
/// Environment variable: namespace of the order.
pub const ENV_NAMESPACE: &str = "MANYWORLDS_NAMESPACE";
/// Environment variable: name of the order.
pub const ENV_WORK_ORDER: &str = "MANYWORLDS_WORK_ORDER";
/// Environment variable: name of the variant.
pub const ENV_WORLD: &str = "MANYWORLDS_WORLD";
/// Environment variable: number of the attempt.
pub const ENV_ATTEMPT: &str = "MANYWORLDS_ATTEMPT";
/// Environment variable: where the operator's HTTP API is.
pub const ENV_SERVICE_URL: &str = "MANYWORLDS_SERVICE_URL";
/// Environment variable: where the gateway is, for `work` only, and only where the World has a model.
pub const ENV_GATEWAY_URL: &str = "MANYWORLDS_GATEWAY_URL";
/// Environment variable: bytes of disk that the World may fill, for `work` and `evaluate`.
pub const ENV_DISK_BYTES: &str = "MANYWORLDS_DISK_BYTES";

/// Returns the name of a World.
pub fn world_name(order: &str, variant: &str) -> String {
    format!("{order}-{variant}")
}

/// Returns the name of the pod of one attempt.
///
/// - **Guarantees:** at most 63 characters for an order of 40 and a variant of 16, so that it is a valid host name.
pub fn pod_name(order: &str, variant: &str, attempt: i32) -> String {
    format!("{order}-{variant}-{attempt}")
}
