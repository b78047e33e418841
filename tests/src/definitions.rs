//! The custom resource definitions, as they are in this tree.

use kube::Client;
use manyworlds_api::generate;
use serde_json::Value;

use crate::{LIMIT, Result, eventually, resources};

/// Sees to it that the cluster serves the definitions of this tree.
///
/// - **Guarantees:** writes nothing where they are already there, so that those of an installed chart stay the chart's.
///
/// # Errors
///
/// When the API server refuses a definition.
pub async fn install(client: &Client) -> Result {
    for file in generate::files()?.into_iter().filter(|file| file.path.starts_with("manyworlds.dev_")) {
        let mut definition: Value = serde_saphyr::from_str(&file.content).map_err(|error| error.to_string())?;
        // The API server fills the status in itself.
        definition.as_object_mut().map(|fields| fields.remove("status"));
        let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let interface = resources::interface(client, &definition)?;
        let wanted = resources::dry_run(client, &definition).await?;
        let found = interface.get_opt(&name).await?;
        if found.is_none_or(|found| found.data["spec"] != wanted.data["spec"]) {
            resources::apply(client, &definition).await?;
        }
        eventually(&format!("{name} is served"), LIMIT, || async {
            let conditions = interface.get(&name).await?.data["status"]["conditions"].clone();
            let served = |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
            Ok(conditions.as_array().is_some_and(|conditions| conditions.iter().any(served)).then_some(()))
        })
        .await?;
    }
    Ok(())
}
