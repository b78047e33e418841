//! Labels, environment variables and paths that the operator and the runner share.

/// Label of a World and its pods: name of the order.
pub const WORK_ORDER: &str = "manyworlds.dev/work-order";
/// Label of a World and its pods: name of the variant.
pub const WORLD: &str = "manyworlds.dev/world";
/// Label of a pod: number of the attempt.
pub const ATTEMPT: &str = "manyworlds.dev/attempt";
/// Label of a pod that judges: number of the evaluation of its attempt, or of the order's base.
pub const EVALUATION: &str = "manyworlds.dev/evaluation";
/// Label of a pod: the network policy that holds it, where that is not the one of Worlds.
pub const NETWORK: &str = "manyworlds.dev/network";
/// Value of [`NETWORK`] on a pod that reaches the cluster's DNS and the artifact API alone.
pub const NETWORK_OF_EVALUATIONS: &str = "evaluations";
/// Label of a pod: its role, such as `work`.
pub const ROLE: &str = "manyworlds.dev/role";
/// Label of every object: the program that manages it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`] on the operator's objects.
pub const MANAGER: &str = "manyworlds";
/// Prefix of the labels that an order may give its pods. No Service and no policy but one of who knows of it selects by them.
pub const EXTRA_LABEL_PREFIX: &str = "label.manyworlds.dev/";

/// Name of the container that fetches the repository.
pub const PREPARE: &str = "prepare";
/// Name of the container that runs the worker.
pub const WORK: &str = "work";
/// Name of the container that takes what the worker left, once the worker is gone.
pub const COLLECT: &str = "collect";
/// Name of the container that makes the checkout that is judged. It is the first of a pod of its own.
pub const CHECKOUT: &str = "checkout";
/// Name of the container that runs the gates.
pub const JUDGE: &str = "judge";

/// Audience of a World's token for the operator.
pub const TOKEN_AUDIENCE: &str = "manyworlds";
/// Folder of that token.
pub const TOKEN_DIRECTORY: &str = "/var/run/secrets/manyworlds/token";
/// Name of the token's file in [`TOKEN_DIRECTORY`].
pub const TOKEN_FILE: &str = "token";
/// Audience of a worker's token for the gateway.
pub const GATEWAY_AUDIENCE: &str = "manyworlds-gateway";
/// Folder of that token, mounted in `work` only. Its file is [`TOKEN_FILE`] too.
pub const GATEWAY_TOKEN_DIRECTORY: &str = "/var/run/secrets/manyworlds/gateway";
/// Model name that lets the worker choose the model. It never names a model of a Provider.
pub const AUTOMATIC_MODEL: &str = "auto";
/// Folder of the repository's credential, mounted in `prepare` only.
pub const CREDENTIAL_DIRECTORY: &str = "/var/run/secrets/manyworlds/repository";

/// Folder that `prepare` writes: the order, the pinned base and the mirror. Read-only afterwards.
pub const ORDER_DIRECTORY: &str = "/manyworlds/order";
/// Name of the order document in [`ORDER_DIRECTORY`].
pub const ORDER_FILE: &str = "order.json";
/// Name of the bare mirror in [`ORDER_DIRECTORY`].
pub const MIRROR: &str = "mirror.git";
/// Folder that `prepare` writes: the runner's own program. Read-only afterwards.
pub const RUNNER_DIRECTORY: &str = "/manyworlds/bin";
/// Name of the runner's program, in its image's root and in [`RUNNER_DIRECTORY`].
pub const RUNNER_FILE: &str = "manyworlds-runner";
/// Folder of the worktree and the worker's results. Read-only for `collect`.
pub const WORK_DIRECTORY: &str = "/manyworlds/work";
/// Folder of the pod that judges: checkout, scratch and report.
pub const EVALUATION_DIRECTORY: &str = "/manyworlds/evaluation";
/// File in which a container leaves its report for the kubelet.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// Environment variable: the order document as JSON, for `prepare` and `checkout` only.
pub const ENV_ORDER: &str = "MANYWORLDS_ORDER";
/// Environment variable: namespace of the order.
pub const ENV_NAMESPACE: &str = "MANYWORLDS_NAMESPACE";
/// Environment variable: name of the order.
pub const ENV_WORK_ORDER: &str = "MANYWORLDS_WORK_ORDER";
/// Environment variable: name of the variant.
pub const ENV_WORLD: &str = "MANYWORLDS_WORLD";
/// Environment variable: number of the attempt.
pub const ENV_ATTEMPT: &str = "MANYWORLDS_ATTEMPT";
/// Environment variable: address of the operator's HTTP API.
pub const ENV_SERVICE_URL: &str = "MANYWORLDS_SERVICE_URL";
/// Environment variable: address of the gateway, for `work` only and only when the World has a model.
pub const ENV_GATEWAY_URL: &str = "MANYWORLDS_GATEWAY_URL";
/// Environment variable: bytes of disk that the World may fill, for `work` and `judge`.
pub const ENV_DISK_BYTES: &str = "MANYWORLDS_DISK_BYTES";
/// Environment variable: the commit that the World started from, for `checkout` only.
pub const ENV_BASE_COMMIT: &str = "MANYWORLDS_BASE_COMMIT";
/// Environment variable: the report on the worker as JSON, for `judge` only, which repeats it in its own report.
pub const ENV_WORKER_REPORT: &str = "MANYWORLDS_WORKER_REPORT";
/// Environment variable that says what a pod judges: [`SUBJECT_BASE`], or a World's change where it is absent.
pub const ENV_SUBJECT: &str = "MANYWORLDS_SUBJECT";
/// The base itself, without any change.
pub const SUBJECT_BASE: &str = "base";

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

/// Returns the name of a pod that judges an attempt.
///
/// - **Shape:** `number` counts from 1; each evaluation of the same change has a pod of its own.
/// - **Guarantees:** at most 63 characters, as [`pod_name`], for numbers below ten; one more for those below a hundred, of which the
///   kubelet cuts the host name.
pub fn evaluation_pod_name(order: &str, variant: &str, attempt: i32, number: i32) -> String {
    format!("{order}-{variant}-{attempt}-e{number}")
}

/// Returns the name of a pod that judges the base of an order.
///
/// - **Shape:** `number` counts from 1.
/// - **Guarantees:** no pod of a World has it: where theirs has the number of an attempt, this has a letter.
pub fn baseline_pod_name(order: &str, number: i32) -> String {
    format!("{order}-baseline-e{number}")
}
