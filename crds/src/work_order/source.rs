//! Source of the code: the repository and the revision.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::LocalReference;

/// The source of the code.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A git repository.
    pub git: GitSource,
}

/// A git repository and the commit to start from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitSource {
    /// Address of the repository: `https://`, `http://`, `ssh://`, `file://`, or `git@host:path`. It must not contain a password; use `secretRef`.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^(https?|ssh|file)://[^\\\\s]+$') || self.matches('^[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\\\\s]+$')").message("write the repository as https://host/path, http://host/path, ssh://user@host/path, user@host:path or file:///path"),
        validation = Rule::new("!self.matches('^https?://[^/]*@')").message("the address must not contain a user or password; put them into a Secret and name it in secretRef"),
    )]
    pub url: String,

    /// Branch, tag or full commit id. All Worlds start from the commit that it names when the first of them fetches it.
    #[serde(default = "head")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_][A-Za-z0-9_./@+-]*$') && !self.contains('..')").message("revision must be a branch, a tag or a commit id: letters, digits and _ . / @ + - only, not starting with - or . and without '..'"))]
    pub revision: String,

    /// A Secret in the order's namespace with `username` and `password`, or `ssh-privatekey` and `known_hosts`, and optionally `ca.crt`. Its key `host` lists the hosts that it may be used for, such as `git.example.com` or `git.example.com:8443`, apart by commas; it is used for no other. Only the `prepare` container sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

fn head() -> String {
    "HEAD".to_owned()
}
