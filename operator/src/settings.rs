//! Settings: as they are given, and as they are used.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use manyworlds_api::Duration;
use manyworlds_api::duration::DurationError;
use manyworlds_planner::policy::pod_template::PodTemplateRules;
use manyworlds_planner::policy::shares::NamespaceShares;
use manyworlds_telemetry::LogFormat;

use crate::artifacts::{ArtifactArguments, ArtifactSettings, ArtifactSettingsError};
use crate::budget_requirement::BudgetRequirement;
use crate::ledger_command::LedgerArguments;
use crate::shares::{self, SharesError};

/// Runs coding agents as parallel Worlds on Kubernetes.
#[derive(Parser)]
#[command(name = "manyworlds-operator", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// The settings of `run`, where no command is given.
    #[command(flatten)]
    pub arguments: Arguments,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands of the program. Without one it does as `run` does.
#[derive(Subcommand)]
pub enum Command {
    /// Run the operator, or some of its roles
    Run(Box<Arguments>),
    /// Maintain the ledger's tables or move a ledger to another store
    Ledger(LedgerArguments),
}

/// A part of the operator that a process can take on alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Brings WorkOrders forward. It alone writes to the cluster.
    Controller,
    /// Answers the model calls of Worlds.
    Gateway,
    /// Stores and serves artifacts.
    Api,
}

/// Settings as they are given.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Roles of this process: controller, gateway, api
    #[arg(
        long,
        env = "MANYWORLDS_ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "controller,gateway,api",
        ignore_case = true,
        hide_possible_values = true
    )]
    roles: Vec<Role>,
    /// Namespace of the operator
    #[arg(long, env = "MANYWORLDS_NAMESPACE", default_value = "manyworlds-system")]
    namespace: String,
    /// Namespace of the WorkOrders to reconcile; empty for all namespaces
    #[arg(long, env = "MANYWORLDS_WATCH_NAMESPACE", default_value = "")]
    watch_namespace: String,
    /// Image of the runner
    #[arg(long, env = "MANYWORLDS_RUNNER_IMAGE", default_value = concat!("docker.io/manyworlds/runner:", env!("CARGO_PKG_VERSION")))]
    runner_image: String,
    /// URL at which Worlds reach the artifact API
    #[arg(long, env = "MANYWORLDS_SERVICE_URL", default_value = "http://manyworlds.manyworlds-system.svc:8080")]
    service_url: String,
    /// Settings of artifacts
    #[command(flatten)]
    artifacts: ArtifactArguments,
    /// Listen address of the artifact API
    #[arg(long, env = "MANYWORLDS_API_ADDRESS", default_value = "0.0.0.0:8080")]
    api_address: SocketAddr,
    /// Listen address of /metrics, /livez and /readyz
    #[arg(long, env = "MANYWORLDS_METRICS_ADDRESS", default_value = "0.0.0.0:9090")]
    metrics_address: SocketAddr,
    /// Log filter, such as info or info,manyworlds_operator=debug
    #[arg(long, env = "MANYWORLDS_LOG", default_value = "info")]
    log: String,
    /// Log format
    #[arg(long, env = "MANYWORLDS_LOG_FORMAT", default_value = "json")]
    log_format: LogFormatArgument,
    /// Whether the operator manages a NetworkPolicy in every namespace with WorkOrders
    #[arg(long, env = "MANYWORLDS_NETWORK_POLICY", default_value = "Managed", ignore_case = true)]
    network_policy: NetworkPolicyArgument,
    /// Egress rules of that policy for DNS, as a JSON list of NetworkPolicyEgressRule
    #[arg(long, env = "MANYWORLDS_DNS_EGRESS", default_value = CLUSTER_DNS, hide_default_value = true)]
    dns_egress: String,
    /// Egress rules of that policy besides DNS and the operator, as a JSON list of NetworkPolicyEgressRule
    #[arg(long, env = "MANYWORLDS_REPOSITORY_EGRESS", default_value = "[]")]
    repository_egress: String,
    /// What a WorkOrder's podTemplate may ask for, as JSON: the value worlds.podTemplate of the chart
    #[arg(long, env = "MANYWORLDS_POD_TEMPLATE", default_value = "{}")]
    pod_template: String,
    /// Longest time that a World's pod may take to start before its slot is freed
    #[arg(long, env = "MANYWORLDS_START_TIMEOUT", default_value = "2m")]
    start_timeout: String,
    /// How slots are shared between namespaces: their weights, limits and highest priorities, as a JSON object
    #[arg(long, env = "MANYWORLDS_CAPACITY", default_value = "{}")]
    capacity: String,
    /// Whether Worlds can call models
    #[arg(long, env = "MANYWORLDS_GATEWAY", default_value = "Enabled", ignore_case = true)]
    gateway: GatewayArgument,
    /// URL at which Worlds reach the gateway
    #[arg(long, env = "MANYWORLDS_GATEWAY_URL", default_value = "http://manyworlds.manyworlds-system.svc:8081")]
    gateway_url: String,
    /// Listen address of the gateway
    #[arg(long, env = "MANYWORLDS_GATEWAY_ADDRESS", default_value = "0.0.0.0:8081")]
    gateway_address: SocketAddr,
    /// URL of the ledger: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`
    #[arg(
        long,
        env = "MANYWORLDS_LEDGER",
        default_value = "sqlite:///var/lib/manyworlds/ledger/ledger.db",
        hide_env_values = true
    )]
    ledger: String,
    /// Days that calls, runs and audit entries are kept
    #[arg(long, env = "MANYWORLDS_LEDGER_RETENTION_DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(30..=90))]
    ledger_retention_days: u16,
    /// Interval between two checkpoints of running Worlds in the ledger
    #[arg(long, env = "MANYWORLDS_CHECKPOINT_INTERVAL", default_value = "5m")]
    checkpoint_interval: String,
    /// Size of the cache of answers at temperature 0, in MiB; 0 turns it off
    #[arg(long, env = "MANYWORLDS_CACHE_MEBIBYTES", default_value_t = 32, value_parser = clap::value_parser!(u16).range(0..=4096))]
    cache_mebibytes: u16,
    /// Worlds that share cached answers: none (World), those of the same order, or those of the same namespace
    #[arg(long, env = "MANYWORLDS_CACHE_SCOPE", default_value = "World", ignore_case = true)]
    cache_scope: CacheScope,
    /// Namespaces whose WorkOrders wait until a Budget holds them, as JSON: "none", "all" or a list
    #[arg(long, env = "MANYWORLDS_BUDGETS_REQUIRED", default_value = r#""none""#)]
    budgets_required: String,
    /// File with extra certificate authorities, in PEM, for connections to Providers
    #[arg(long, env = "MANYWORLDS_PROVIDER_CERTIFICATES")]
    provider_certificates: Option<PathBuf>,
    /// Name of this pod, which identifies the process in the ledger
    #[arg(long, env = "HOSTNAME", default_value = "manyworlds-operator")]
    writer: String,
    /// ServiceAccount of the operator, for messages on missing rights
    #[arg(long, env = "MANYWORLDS_SERVICE_ACCOUNT", default_value = "manyworlds")]
    service_account: String,
    /// Longest wait for open requests and calls at the end; less than the grace period of the pod
    #[arg(long, env = "MANYWORLDS_SHUTDOWN_TIMEOUT", default_value = "25s")]
    shutdown_timeout: String,
    /// Most WorkOrders that are reconciled at the same time
    #[arg(long, env = "MANYWORLDS_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,
}

/// Where a cluster with the usual DNS has it: the pods that carry the label of kube-dns, which CoreDNS keeps.
const CLUSTER_DNS: &str = r#"[{
    "to": [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}
    }],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
}]"#;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormatArgument {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NetworkPolicyArgument {
    Managed,
    Disabled,
}

/// The Worlds that share cached answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CacheScope {
    /// Its own, of all its attempts.
    World,
    /// Those of its order.
    Order,
    /// Those of its namespace.
    Namespace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GatewayArgument {
    Enabled,
    Disabled,
}

/// Settings of the gateway and its ledger.
#[derive(Clone)]
pub struct GatewaySettings {
    /// The URL at which Worlds reach the gateway.
    pub url: String,
    /// Its address.
    pub address: SocketAddr,
    /// URL of the ledger. It may hold a password.
    pub ledger: String,
    /// The time for which calls, runs and audit entries are kept.
    pub retention: SignedDuration,
    /// The interval between two checkpoints of running Worlds.
    pub checkpoints: SignedDuration,
    /// The size of the cache of answers at temperature 0, in bytes.
    pub cache_bytes: usize,
    /// The Worlds that share cached answers.
    pub cache_scope: CacheScope,
    /// Where a Budget has to hold an order.
    pub budgets: BudgetRequirement,
    /// File with certificates that Providers are trusted by.
    pub certificates: Option<PathBuf>,
    /// Names this process in the ledger.
    pub writer: String,
    /// The time that calls have to end once the operator is told to. The rest is for closing the ledger.
    pub drain: std::time::Duration,
}

impl fmt::Debug for GatewaySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GatewaySettings")
            .field("url", &self.url)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What Worlds may reach besides the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldEgress {
    /// The cluster's DNS.
    pub dns: Vec<NetworkPolicyEgressRule>,
    /// The hosts of repositories.
    pub repositories: Vec<NetworkPolicyEgressRule>,
}

/// Settings as they are used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The roles of this process, at least one. The gateway is among them only where it is enabled.
    pub roles: Vec<Role>,
    /// Namespace that the operator itself runs in.
    pub namespace: String,
    /// Namespace whose WorkOrders are worked on; all where there is none.
    pub watch_namespace: Option<String>,
    /// Image with the runner.
    pub runner_image: String,
    /// The URL at which Worlds reach this operator.
    pub service_url: String,
    /// Artifacts.
    pub artifacts: ArtifactSettings,
    /// Address of the artifact API.
    pub api_address: SocketAddr,
    /// Address of metrics and probes.
    pub metrics_address: SocketAddr,
    /// Log filter.
    pub log: String,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The egress of Worlds; `None` where the operator keeps no policy.
    pub network_policy: Option<WorldEgress>,
    /// What an order's pod template may ask for.
    pub pod_template: PodTemplateRules,
    /// The longest start of a pod.
    pub start_timeout: Duration,
    /// How slots are shared between namespaces.
    pub shares: NamespaceShares,
    /// The gateway; absent where Worlds call no models.
    pub gateway: Option<GatewaySettings>,
    /// The operator's ServiceAccount, as `<namespace>:<name>`.
    pub service_account: String,
    /// The most WorkOrders that are reconciled at the same time.
    pub concurrency: usize,
    /// The longest wait for the parts of the operator once it is told to end.
    pub shutdown_timeout: std::time::Duration,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Only the gateway is to run, and it is disabled.
    #[error(
        "MANYWORLDS_ROLES names no role but gateway, and MANYWORLDS_GATEWAY is Disabled; enable it or name another role"
    )]
    NoRole,
    /// The egress rules for DNS are no such list.
    #[error("MANYWORLDS_DNS_EGRESS is not a JSON list of NetworkPolicyEgressRule")]
    DnsEgress(#[source] serde_json::Error),
    /// The rules of pod templates are no such object.
    #[error("MANYWORLDS_POD_TEMPLATE is not the JSON of the value worlds.podTemplate of the chart")]
    PodTemplate(#[source] serde_json::Error),
    /// The egress rules are no such list.
    #[error("MANYWORLDS_REPOSITORY_EGRESS is not a JSON list of NetworkPolicyEgressRule")]
    RepositoryEgress(#[source] serde_json::Error),
    /// A setting of artifacts cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactSettingsError),
    /// The shares of namespaces cannot be used.
    #[error("MANYWORLDS_CAPACITY cannot be used")]
    Capacity(#[source] SharesError),
    /// Where Budgets are required is none of its forms.
    #[error("MANYWORLDS_BUDGETS_REQUIRED is not \"none\", \"all\" or a JSON list of namespaces")]
    BudgetsRequired(#[source] serde_json::Error),
    /// The start time-out is no length of time.
    #[error("MANYWORLDS_START_TIMEOUT cannot be read")]
    StartTimeout(#[source] DurationError),
    /// The interval of checkpoints is no length of time.
    #[error("MANYWORLDS_CHECKPOINT_INTERVAL cannot be read")]
    CheckpointInterval(#[source] DurationError),
    /// The time-out of the shutdown is no length of time.
    #[error("MANYWORLDS_SHUTDOWN_TIMEOUT cannot be read")]
    ShutdownTimeout(#[source] DurationError),
}

impl Settings {
    /// Returns whether the process has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Arguments {
    /// Reads every setting.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] (class: spec) that names the setting.
    pub fn resolve(self) -> Result<Settings, SettingsError> {
        let checkpoints: Duration = self.checkpoint_interval.parse().map_err(SettingsError::CheckpointInterval)?;
        let checkpoints =
            SignedDuration::try_from(std::time::Duration::from(checkpoints)).unwrap_or(SignedDuration::MAX);
        let shutdown: Duration = self.shutdown_timeout.parse().map_err(SettingsError::ShutdownTimeout)?;
        let shutdown_timeout = std::time::Duration::from(shutdown);
        let budgets = BudgetRequirement::read(&self.budgets_required).map_err(SettingsError::BudgetsRequired)?;
        let gateway = (self.gateway == GatewayArgument::Enabled).then(|| GatewaySettings {
            url: self.gateway_url,
            address: self.gateway_address,
            ledger: self.ledger,
            retention: SignedDuration::from_hours(24 * i64::from(self.ledger_retention_days)),
            checkpoints,
            cache_bytes: usize::from(self.cache_mebibytes) * 1024 * 1024,
            cache_scope: self.cache_scope,
            budgets,
            certificates: self.provider_certificates,
            writer: self.writer,
            drain: shutdown_timeout * 4 / 5,
        });
        let is_enabled = |role: &Role| *role != Role::Gateway || gateway.is_some();
        let roles: Vec<_> = self.roles.into_iter().filter(is_enabled).collect();
        if roles.is_empty() {
            return Err(SettingsError::NoRole);
        }
        let egress = WorldEgress {
            dns: serde_json::from_str(&self.dns_egress).map_err(SettingsError::DnsEgress)?,
            repositories: serde_json::from_str(&self.repository_egress).map_err(SettingsError::RepositoryEgress)?,
        };
        Ok(Settings {
            roles,
            namespace: self.namespace.clone(),
            watch_namespace: (!self.watch_namespace.is_empty()).then_some(self.watch_namespace),
            runner_image: self.runner_image,
            service_url: self.service_url,
            artifacts: self.artifacts.resolve()?,
            api_address: self.api_address,
            metrics_address: self.metrics_address,
            log: self.log,
            log_format: match self.log_format {
                LogFormatArgument::Json => LogFormat::Json,
                LogFormatArgument::Text => LogFormat::Text,
            },
            network_policy: (self.network_policy == NetworkPolicyArgument::Managed).then_some(egress),
            pod_template: serde_json::from_str(&self.pod_template).map_err(SettingsError::PodTemplate)?,
            start_timeout: self.start_timeout.parse().map_err(SettingsError::StartTimeout)?,
            shares: shares::read(&self.capacity).map_err(SettingsError::Capacity)?,
            gateway,
            service_account: format!("{}:{}", self.namespace, self.service_account),
            concurrency: usize::from(self.concurrency),
            shutdown_timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(arguments: &[&str]) -> Result<Settings, String> {
        let all = std::iter::once("manyworlds-operator").chain(arguments.iter().copied());
        CommandLine::try_parse_from(all).map_err(|error| error.to_string()).and_then(|parsed| match parsed.command {
            Some(Command::Run(arguments)) => arguments.resolve().map_err(|error| error.to_string()),
            _ => parsed.arguments.resolve().map_err(|error| error.to_string()),
        })
    }

    #[test]
    fn a_command_takes_settings_of_its_own_only() {
        let parse = |text: &str| CommandLine::try_parse_from(text.split(' ')).map(|parsed| parsed.command);
        assert!(parse("manyworlds-operator").unwrap().is_none());
        let Some(Command::Ledger(_)) = parse("manyworlds-operator ledger check --url sqlite:///l.db").unwrap() else {
            panic!("no command");
        };
        assert!(parse("manyworlds-operator --namespace a ledger check --url sqlite:///l.db").is_err());
        assert!(parse("manyworlds-operator ledger migrate --from sqlite:///l.db").is_err());
    }

    #[test]
    fn a_process_takes_on_every_role_unless_some_are_named() {
        let all = vec![Role::Controller, Role::Gateway, Role::Api];
        assert_eq!(resolve(&[]).unwrap().roles, all);
        assert_eq!(resolve(&["run"]).unwrap().roles, all, "the command is the default");
        assert_eq!(resolve(&["run", "--roles", "api,gateway"]).unwrap().roles, [Role::Api, Role::Gateway]);
        assert!(resolve(&["run", "--roles", "console"]).unwrap_err().contains("--roles"));
        let disabled = |roles: &str| resolve(&["run", "--gateway", "Disabled", "--roles", roles]);
        assert_eq!(disabled("controller,gateway,api").unwrap().roles, [Role::Controller, Role::Api]);
        assert!(disabled("gateway").unwrap_err().contains("MANYWORLDS_ROLES"));
    }

    #[test]
    fn an_empty_namespace_means_all() {
        assert_eq!(resolve(&[]).unwrap().watch_namespace, None);
        assert_eq!(resolve(&["--watch-namespace", "team"]).unwrap().watch_namespace.as_deref(), Some("team"));
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        assert!(resolve(&["--repository-egress", "{"]).unwrap_err().contains("MANYWORLDS_REPOSITORY_EGRESS"));
        assert!(resolve(&["--dns-egress", "53"]).unwrap_err().contains("MANYWORLDS_DNS_EGRESS"));
        for unknown in ["{", r#"{"allowedLabel": ["team"]}"#] {
            assert!(resolve(&["--pod-template", unknown]).unwrap_err().contains("MANYWORLDS_POD_TEMPLATE"));
        }
        let required = resolve(&["--budgets-required", "some"]);
        assert!(required.unwrap_err().contains("MANYWORLDS_BUDGETS_REQUIRED"));
        assert!(resolve(&["--capacity", "{"]).unwrap_err().contains("MANYWORLDS_CAPACITY"));
        assert!(resolve(&["--start-timeout", "soon"]).unwrap_err().contains("MANYWORLDS_START_TIMEOUT"));
        assert!(resolve(&["--shutdown-timeout", "soon"]).unwrap_err().contains("MANYWORLDS_SHUTDOWN_TIMEOUT"));
        assert!(resolve(&["--api-address", "here"]).unwrap_err().contains("--api-address"));
    }

    #[test]
    fn the_policy_can_be_left_to_somebody_else() {
        assert!(resolve(&["--network-policy", "Disabled"]).unwrap().network_policy.is_none());
        let WorldEgress { dns, repositories } = resolve(&[]).unwrap().network_policy.unwrap();
        assert!(repositories.is_empty(), "{repositories:?}");
        let [rule] = dns.as_slice() else { panic!("{dns:?}") };
        let pods = rule.to.as_ref().unwrap()[0].pod_selector.as_ref().unwrap().match_labels.as_ref().unwrap();
        assert_eq!(pods["k8s-app"], "kube-dns");
        assert_eq!(rule.ports.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn pod_templates_may_ask_for_what_the_chart_allows() {
        assert_eq!(resolve(&[]).unwrap().pod_template, PodTemplateRules::default());
        let allowed = resolve(&["--pod-template", r#"{"allowedLabels": ["team"]}"#]).unwrap().pod_template;
        assert_eq!(
            allowed,
            PodTemplateRules { allowed_labels: vec!["team".to_owned()], ..PodTemplateRules::default() }
        );
    }
}
