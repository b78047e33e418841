//! Reads orders, Worlds and pods.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use manyworlds_api::{WorkOrder, World, labels};
use secrecy::ExposeSecret;

use crate::arguments::Global;
use crate::errors::Failure;
use crate::picture::Picture;

/// How many orders a message names.
const NAMED: usize = 8;

/// The cluster, as the kubeconfig gives it.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the user's rights.
    pub client: Client,
    /// Namespace of the orders.
    pub namespace: String,
    /// The kubeconfig's own bearer token, where it has one.
    pub token: Option<String>,
}

impl Cluster {
    /// Reads the kubeconfig.
    ///
    /// # Errors
    ///
    /// [`Failure::Kubeconfig`] when there is none, or it names what does not exist.
    pub async fn connect(global: &Global) -> Result<Self, Failure> {
        let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &global.kubeconfig {
            Some(path) if !path.as_os_str().is_empty() => {
                Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
            }
            _ => Config::from_kubeconfig(&options).await?,
        };
        // A watch must outlive any pause between two events.
        config.read_timeout = None;
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let token = config.auth_info.token.as_ref().map(|token| token.expose_secret().to_owned());
        Ok(Self { client: Client::try_from(config)?, namespace, token })
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
    /// [`Failure::Usage`] that names the orders that there are, when there is none of that name.
    pub async fn order(&self, name: &str) -> Result<WorkOrder, Failure> {
        match self.orders().get_opt(name).await? {
            Some(order) => Ok(order),
            None => Err(self.no_such_order(name).await),
        }
    }

    async fn no_such_order(&self, name: &str) -> Failure {
        let known = self.orders().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let names: Vec<String> = known.iter().take(NAMED).map(ResourceExt::name_any).collect();
        let there =
            if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
        Failure::Usage(format!("there is no WorkOrder {name} in namespace {}; {there}", self.namespace))
    }

    /// Reads everything that is known about an order.
    ///
    /// # Errors
    ///
    /// As [`Cluster::order`].
    pub async fn picture(&self, name: &str) -> Result<Picture, Failure> {
        let order = self.order(name).await?;
        let mine = selector(name);
        let (worlds, pods) = (self.worlds(), self.pods());
        let (worlds, pods) = futures::try_join!(worlds.list(&mine), pods.list(&mine))?;
        Ok(Picture::new(order, worlds.items, pods.items))
    }
}

/// Selects what belongs to an order.
pub fn selector(order: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={order}", labels::WORK_ORDER))
}
