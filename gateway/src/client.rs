//! The client that calls Providers.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// The time for which an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of trusted certificates cannot be read.
    #[error("the file of trusted certificates {} cannot be read; see gateway.certificatesConfigMap of the chart", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The file has no certificate.
    #[error(
        "the file of trusted certificates {} has no certificate; it must have one or more in PEM, each from a line -----BEGIN CERTIFICATE----- to a line -----END CERTIFICATE-----",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// A certificate of the file cannot be used.
    #[error("certificate {number} of the file of trusted certificates {} cannot be used: {problem}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// The place of the certificate in the file, from 1.
        number: usize,
        /// The problem with it.
        problem: String,
    },
    /// The client refuses its settings.
    #[error("the client for Providers could not be made: {0}")]
    Settings(String),
}

/// Makes calls to Providers: to the host of their address, and nowhere else.
///
/// - **Guarantees:** it follows no redirect, uses no proxy of the environment, keeps no cookie, and changes no byte of an answer.
#[derive(Clone)]
pub struct Clients {
    tls: ClientConfig,
    /// The client of each connect time-out. There are few of them.
    made: Arc<Mutex<HashMap<Duration, Client>>>,
}

impl Clients {
    /// Returns a client that trusts the usual authorities, and those in a PEM file.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn new(certificates: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = certificates {
            add(&mut roots, file)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Settings(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls, made: Arc::default() })
    }

    /// Returns the client with a connect time-out.
    ///
    /// # Errors
    ///
    /// [`ClientError::Settings`].
    pub(crate) fn get(&self, connect: Duration) -> Result<Client, ClientError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&connect) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(connect)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ClientError::Settings(error.to_string()))?;
        made.insert(connect, client.clone());
        Ok(client)
    }
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), ClientError> {
    let pem = std::fs::read(file).map_err(|error| ClientError::Unreadable(file.to_owned(), error))?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        found += 1;
        let unusable = |problem: String| ClientError::Certificate { file: file.to_owned(), number: found, problem };
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if found == 0 {
        return Err(ClientError::NoCertificate(file.to_owned()));
    }
    Ok(())
}

/// Returns an error and its causes, the outermost first.
pub(crate) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |cause| (*cause).source())
}

/// Returns the text of the innermost cause of a failed call, such as `Connection refused (os error 111)`.
///
/// - **Guarantees:** it does not hold the URL of the call. Where nobody trusts the authority of the server's certificate, it says
///   what to do.
pub(crate) fn innermost_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = causes(&error).last().unwrap_or(&error);
    let said = cause.to_string();
    if of_unknown_authority(cause) {
        return format!("{said}; have its authority trusted by gateway.certificatesConfigMap of the chart");
    }
    said
}

fn of_unknown_authority(cause: &(dyn Error + 'static)) -> bool {
    // An I/O error holds that of the handshake inside, and does not name it as its source.
    if let Some(inside) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return of_unknown_authority(inside);
    }
    let handshake = cause.downcast_ref();
    matches!(handshake, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
