//! The list of artifacts.

use manyworlds_api::artifacts::StoredArtifact;

use super::table::{Column, Table};
use super::text::{Line, Tone};

/// Draws the list.
pub fn artifacts(artifacts: &[StoredArtifact]) -> Vec<Line> {
    if artifacts.is_empty() {
        return vec![Line::of(Tone::Muted, "nothing is kept yet")];
    }
    let mut table = Table::new(vec![
        Column::words("WORLD"),
        Column::numbers("ATTEMPT"),
        Column::words("ARTIFACT"),
        Column::numbers("BYTES"),
    ]);
    for artifact in artifacts {
        table.push(vec![
            Line::of(Tone::Strong, &artifact.world),
            Line::plain(artifact.attempt.to_string()),
            Line::plain(artifact.name.as_str()),
            Line::plain(artifact.bytes.to_string()),
        ]);
    }
    table.lines(None)
}

#[cfg(test)]
mod tests {
    use super::super::text::plain_text;
    use super::*;
    use manyworlds_api::artifacts::ArtifactName;

    #[test]
    fn each_artifact_has_a_line() {
        let patch = StoredArtifact { world: "alpha".to_owned(), attempt: 1, name: ArtifactName::Patch, bytes: 512 };
        let text = plain_text(&artifacts(&[patch]));
        assert!(text.contains("alpha") && text.contains("patch") && text.contains("512"), "{text}");
    }
}
