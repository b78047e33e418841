//! `run`: applies the WorkOrders of a file and, with `--wait`, waits for them.

use std::io::Read;
use std::process::ExitCode;

use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use manyworlds_api::WorkOrder;
use serde::Deserialize;
use serde_json::Value;

use super::watch;
use crate::arguments::Run;
use crate::errors::Failure;
use crate::render::text::{Line, Tone};
use crate::session::{FIELD_MANAGER, Session};

/// Runs the command.
pub(super) async fn run(session: &mut Session, which: &Run) -> Result<ExitCode, Failure> {
    let mut manifests = parse(&which.file, &read(&which.file)?)?;
    if let Some(name) = &which.name {
        rename(&which.file, &mut manifests, name)?;
    }
    if let Some(namespace) = &session.global.namespace {
        check_namespace(&which.file, &manifests, namespace)?;
    }
    let mut names = Vec::new();
    for manifest in &manifests {
        names.push(apply(session, manifest).await?);
    }
    let mut all_succeeded = true;
    if which.wait {
        for (namespace, name) in names {
            session.cluster.namespace = namespace;
            all_succeeded &= watch::until_finished(session, &name, watch::ProgressOutput::Shown).await?.has_succeeded();
        }
    }
    Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn apply(session: &mut Session, manifest: &Value) -> Result<(String, String), Failure> {
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or(&session.cluster.namespace).to_owned();
    let orders: Api<WorkOrder> = Api::namespaced(session.cluster.client.clone(), &namespace);
    let before = orders.get_opt(&name).await?.map(|order| order.resource_version());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let applied = orders.patch(&name, &parameters, &Patch::Apply(manifest)).await?;
    let change = match before {
        None => "created",
        Some(version) if version == applied.resource_version() => "unchanged",
        Some(_) => "configured",
    };
    let mut line = Line::of(Tone::Good, format!("WorkOrder {namespace}/{name} {change}"));
    if applied.is_finished() {
        let hint = format!("; it has finished already, and 'kubectl worlds retry {name}' runs it again");
        line = line.and(Tone::Waiting, hint);
    }
    session.terminal.print(&[line])?;
    Ok((namespace, name))
}

/// Renames the one order of a file.
fn rename(file: &str, manifests: &mut [Value], name: &str) -> Result<(), Failure> {
    let [manifest] = manifests else {
        return Err(Failure::Usage(format!(
            "{file} holds {} WorkOrders; --name needs a file with one",
            manifests.len()
        )));
    };
    manifest["metadata"]["name"] = Value::from(name);
    Ok(())
}

/// Refuses an order whose own namespace contradicts `--namespace`.
fn check_namespace(file: &str, manifests: &[Value], namespace: &str) -> Result<(), Failure> {
    for manifest in manifests {
        let metadata = &manifest["metadata"];
        if let Some(own) = metadata["namespace"].as_str().filter(|own| *own != namespace) {
            let name = metadata["name"].as_str().unwrap_or_default();
            return Err(Failure::Usage(format!(
                "{file}: WorkOrder {name} says that its namespace is {own}, --namespace says {namespace}"
            )));
        }
    }
    Ok(())
}

fn read(file: &str) -> Result<String, Failure> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| Failure::file("the standard input", &error))?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| Failure::file(file, &error))
}

/// Parses the WorkOrders of a file. One that cannot be parsed keeps all of them from being applied.
fn parse(file: &str, text: &str) -> Result<Vec<Value>, Failure> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| Failure::Usage(format!("{file} is no YAML: {error}")))?;
    let mut manifests = Vec::new();
    for (index, document) in documents.into_iter().filter(|document| !document.is_null()).enumerate() {
        let location = format!("{file}, document {}", index + 1);
        let kind = document["kind"].as_str().unwrap_or_default();
        if kind != "WorkOrder" {
            return Err(Failure::Usage(format!(
                "{location}: kind is {kind:?}, not WorkOrder; use 'kubectl apply' for other kinds"
            )));
        }
        if document["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            return Err(Failure::Usage(format!("{location}: metadata.name is missing")));
        }
        WorkOrder::deserialize(&document).map_err(|error| Failure::Usage(format!("{location}: {error}")))?;
        manifests.push(document);
    }
    if manifests.is_empty() {
        return Err(Failure::Usage(format!("{file} holds no WorkOrder")));
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "apiVersion: manyworlds.dev/v1alpha1\nkind: WorkOrder\nmetadata: {name: a}\nspec: {source: {git: {url: u}}, task: {title: t}}\n";

    #[test]
    fn every_document_of_a_file_is_read() {
        assert_eq!(parse("f", &format!("{ORDER}---\n{ORDER}---\n")).unwrap().len(), 2);
    }

    #[test]
    fn a_new_name_is_for_one_order_alone() {
        let mut one = parse("f", ORDER).unwrap();
        rename("f", &mut one, "b").unwrap();
        assert_eq!(one[0]["metadata"]["name"], "b");
        let mut two = parse("f", &format!("{ORDER}---\n{ORDER}")).unwrap();
        assert!(rename("f", &mut two, "b").unwrap_err().to_string().contains("holds 2 WorkOrders"));
    }

    #[test]
    fn a_namespace_that_contradicts_the_file_is_refused() {
        let placed = parse("f", &ORDER.replace("{name: a}", "{name: a, namespace: here}")).unwrap();
        assert!(check_namespace("f", &placed, "here").is_ok());
        let message = check_namespace("f", &placed, "there").unwrap_err().to_string();
        assert!(message.contains("is here, --namespace says there"), "{message}");
        assert!(check_namespace("f", &parse("f", ORDER).unwrap(), "there").is_ok());
    }

    #[test]
    fn what_cannot_be_applied_is_named_with_its_place() {
        for (text, words) in [
            ("", "holds no WorkOrder"),
            ("kind: Pod\nmetadata: {name: a}\n", "document 1: kind is \"Pod\""),
            ("kind: WorkOrder\n", "metadata.name is missing"),
            (&ORDER.replace("title", "titel"), "document 1: missing field `title`"),
            ("a: [", "is no YAML"),
        ] {
            let message = parse("f", text).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
