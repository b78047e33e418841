//! The cluster: reads orders, Worlds and pods.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use manyworlds_api::{WorkOrder, World, labels};

use crate::arguments::Global;
use crate::errors::Failure;
use crate::order_view::OrderView;
use crate::suggestion::suggestion;

/// The cluster that the kubeconfig names.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the user's rights.
    pub client: Client,
    /// Namespace of the orders.
    pub namespace: String,
    /// Settings of the kubeconfig.
    pub config: Config,
}

impl Cluster {
    /// Reads the kubeconfig.
    ///
    /// # Errors
    ///
    /// [`Failure::Kubeconfig`] when there is none, or it names a context, cluster or user that does not exist.
    pub async fn connect(global: &Global) -> Result<Self, Failure> {
        let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &global.kubeconfig {
            Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None => match kubeconfig_from_environment()? {
                Some(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await?,
                None => Config::from_kubeconfig(&options).await?,
            },
        };
        // A watch may be silent for any time between two events.
        config.read_timeout = None;
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config.clone())?, namespace, config })
    }

    /// Returns the interface to the orders.
    pub fn orders(&self) -> Api<WorkOrder> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Returns the interface to the pods of Worlds.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Returns the interface to the Worlds.
    pub fn worlds(&self) -> Api<World> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads one order.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`], with the names of the orders, when none has this name.
    pub async fn order(&self, name: &str) -> Result<WorkOrder, Failure> {
        match self.orders().get_opt(name).await? {
            Some(order) => Ok(order),
            None => Err(self.no_such_order(name).await),
        }
    }

    async fn no_such_order(&self, name: &str) -> Failure {
        let orders = match self.orders().list_metadata(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(error) => return error.into(),
        };
        let names: Vec<String> = orders.iter().map(ResourceExt::name_any).collect();
        let suggestion = suggestion(name, &names);
        Failure::Usage(format!("there is no WorkOrder {name} in namespace {}; {suggestion}", self.namespace))
    }

    /// Reads an order with its Worlds and pods.
    ///
    /// # Errors
    ///
    /// As [`Cluster::order`].
    pub async fn order_view(&self, name: &str) -> Result<OrderView, Failure> {
        let order = self.order(name).await?;
        let selector = selector(name);
        let (worlds, pods) = (self.worlds(), self.pods());
        let (worlds, pods) = futures::join!(worlds.list(&selector), pods.list(&selector));
        let pods = match pods {
            Ok(pods) => pods.items,
            // A user without the right to list pods sees only the status of the Worlds.
            Err(kube::Error::Api(status)) if status.code == 403 => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(OrderView::new(order, worlds?.items, pods))
    }
}

/// Reads and merges the files in KUBECONFIG; like kubectl, it skips missing files.
fn kubeconfig_from_environment() -> Result<Option<Kubeconfig>, Failure> {
    let list = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let mut merged: Option<Kubeconfig> = None;
    for path in std::env::split_paths(&list).filter(|path| path.is_file()) {
        let next = Kubeconfig::read_from(path)?;
        merged = Some(match merged {
            Some(before) => before.merge(next)?,
            None => next,
        });
    }
    Ok(merged)
}

/// Returns the label selector of an order's Worlds and pods.
pub fn selector(order: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={order}", labels::WORK_ORDER))
}
