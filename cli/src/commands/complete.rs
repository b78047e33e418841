//! `__complete`: completion candidates, with the names of orders and Worlds in the cluster.

use std::process::ExitCode;

use clap::Parser;
use kube::api::{ListParams, ObjectMeta};
use manyworlds_api::labels;

use crate::arguments::{Global, PartialArguments};
use crate::cluster::{Cluster, selector};
use crate::completion::{Candidates, FileCompletion, candidates, reply};
use crate::errors::Failure;
use crate::terminal::Terminal;

/// Runs the command. Names are left out when the cluster does not answer, because completion must not print errors.
pub(super) async fn complete(global: &Global, words: &[String]) -> Result<ExitCode, Failure> {
    let (files, offered) = match candidates(words) {
        Candidates::Words(words) => (FileCompletion::Disabled, words),
        Candidates::Orders => (FileCompletion::Disabled, names(words, None).await.unwrap_or_default()),
        Candidates::Worlds(order) => (FileCompletion::Disabled, names(words, Some(&order)).await.unwrap_or_default()),
        Candidates::File => (FileCompletion::Enabled, Vec::new()),
        Candidates::Nothing => (FileCompletion::Disabled, Vec::new()),
    };
    let prefix = words.last().map_or("", String::as_str);
    Terminal::new(global.color).print_content(reply(&offered, prefix, files).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the names of the orders of a namespace, or of the Worlds of one order.
async fn names(words: &[String], order: Option<&str>) -> Option<Vec<(String, String)>> {
    let cluster = Cluster::connect(&PartialArguments::of(words).global).await.ok()?;
    let name = |metadata: ObjectMeta| metadata.name.map(|name| (name, String::new()));
    match order {
        None => {
            let list = cluster.orders().list_metadata(&ListParams::default()).await.ok()?;
            Some(list.items.into_iter().filter_map(|order| name(order.metadata)).collect())
        }
        Some(order) => {
            let list = cluster.worlds().list_metadata(&selector(order)).await.ok()?;
            let variant = |mut metadata: ObjectMeta| metadata.labels.as_mut()?.remove(labels::WORLD);
            Some(list.items.into_iter().filter_map(|world| Some((variant(world.metadata)?, String::new()))).collect())
        }
    }
}

impl PartialArguments {
    /// Reads the global options of an unfinished command line.
    fn of(words: &[String]) -> Self {
        let known = ["--namespace", "-n", "--context", "--kubeconfig"];
        let mut line = vec!["kubectl-worlds".to_owned()];
        let mut rest = words.iter().peekable();
        while let Some(word) = rest.next() {
            let name = word.split('=').next().unwrap_or_default();
            if !known.contains(&name) {
                continue;
            }
            if word.contains('=') {
                line.push(word.clone());
            } else if let Some(value) = rest.next_if(|value| !value.is_empty()) {
                line.extend([word.clone(), value.clone()]);
            }
        }
        Self::try_parse_from(line).unwrap_or_else(|_| Self::parse_from(["kubectl-worlds"]))
    }
}
