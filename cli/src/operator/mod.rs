//! A client of the operator's artifact API.

mod token;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use manyworlds_api::artifacts::{
    ApiError, ArtifactName, DIGEST_HEADER, StoredArtifact, download_path, hexadecimal, list_path,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Position, Url};

use crate::errors::Failure;
use crate::session::Session;

/// Port of the artifact API in the operator's pod.
const PORT: u16 = 8080;
/// Selects the operator's pods.
const PODS: &str = "app.kubernetes.io/name=manyworlds,app.kubernetes.io/component=operator";

/// A client of the artifact API.
pub struct Operator {
    transport: Transport,
    token: String,
}

/// A connection to the operator.
enum Transport {
    /// TCP to a host and port.
    Address(String),
    /// Port-forward through the API server.
    Forward { pods: Box<Api<Pod>>, name: String },
}

impl Operator {
    /// Finds the operator and a token for it.
    ///
    /// # Errors
    ///
    /// [`Failure::Operator`] when the operator does not run or no token can be made.
    pub async fn new(session: &Session) -> Result<Self, Failure> {
        let token = token::find(session).await?;
        let transport = match &session.global.operator_url {
            Some(url) => Transport::Address(address(url)?),
            None => forward(session).await?,
        };
        Ok(Self { transport, token })
    }

    /// Fetches an artifact.
    ///
    /// # Errors
    ///
    /// [`Failure::Operator`] with the operator's message, or when the content does not match its digest.
    pub async fn artifact(
        &self,
        namespace: &str,
        order: &str,
        world: &str,
        name: ArtifactName,
        attempt: Option<i32>,
    ) -> Result<Bytes, Failure> {
        let which = attempt.map_or_else(String::new, |attempt| format!("?attempt={attempt}"));
        let path = format!("{}{which}", download_path(namespace, order, world, name));
        let (digest, bytes) = self.get(&path).await?;
        if digest.as_deref() != Some(&hexadecimal(&Sha256::digest(&bytes))) {
            return Err(Failure::Operator(format!("{name} did not arrive whole; try again")));
        }
        Ok(bytes)
    }

    /// Lists the artifacts of an order.
    ///
    /// # Errors
    ///
    /// [`Failure::Operator`] with the operator's message.
    pub async fn artifacts(&self, namespace: &str, order: &str) -> Result<Vec<StoredArtifact>, Failure> {
        let (_, bytes) = self.get(&list_path(namespace, order)).await?;
        serde_json::from_slice(&bytes).map_err(|error| failed(&error))
    }

    async fn get(&self, path: &str) -> Result<(Option<String>, Bytes), Failure> {
        match &self.transport {
            Transport::Address(address) => {
                let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| failed(&error))?;
                self.exchange(stream, path).await
            }
            Transport::Forward { pods, name } => {
                let mut forward = pods.portforward(name, &[PORT]).await?;
                let stream = forward.take_stream(PORT).ok_or_else(|| failed(&"the port-forward has no stream"))?;
                self.exchange(stream, path).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, path: &str) -> Result<(Option<String>, Bytes), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(connection);
        let request = Request::get(path)
            .header(header::HOST, "manyworlds")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let digest = response.headers().get(DIGEST_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
        connection.abort();
        if status.is_success() { Ok((digest, bytes)) } else { Err(refused(status, &bytes)) }
    }
}

/// Parses `http://HOST:PORT` to `HOST:PORT`.
fn address(url: &str) -> Result<String, Failure> {
    let read = Url::parse(url).ok().filter(|read| read.scheme() == "http" && read[Position::AfterPort..] == *"/");
    let place = read.and_then(|read| Some(format!("{}:{}", read.host_str()?, read.port_or_known_default()?)));
    place.ok_or_else(|| Failure::Usage(format!("--operator-url {url}: write it as http://HOST:PORT")))
}

async fn forward(session: &Session) -> Result<Transport, Failure> {
    let namespace = &session.global.operator_namespace;
    let pods: Api<Pod> = Api::namespaced(session.cluster.client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(PODS)).await?;
    let running = found.items.iter().find(|pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
    });
    match running {
        Some(pod) => Ok(Transport::Forward { name: pod.name_any(), pods: Box::new(pods) }),
        None => Err(Failure::Operator(format!(
            "no operator runs in namespace {namespace}; name its namespace with --operator-namespace or its address with --operator-url"
        ))),
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice::<ApiError>(body) {
        Ok(ApiError { error }) => Failure::Operator(format!("{}; {}", error.message, error.hint)),
        Err(_) => Failure::Operator(format!("the operator answered {status}")),
    }
}

fn failed(error: &impl std::fmt::Display) -> Failure {
    Failure::Operator(format!("the operator could not be asked: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_or_refused_in_words() {
        assert_eq!(address("http://localhost:8080/").unwrap(), "localhost:8080");
        assert_eq!(address("http://localhost").unwrap(), "localhost:80");
        for refused in ["https://host", "host:80", "http://", "http://host/path"] {
            assert!(address(refused).unwrap_err().to_string().contains("http://HOST:PORT"), "{refused}");
        }
    }
}
