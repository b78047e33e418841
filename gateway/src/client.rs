//! The client that calls Providers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(90);

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A certificate of one's own is none.
    #[error("the file of trusted certificates cannot be used: {0}")]
    Certificates(String),
    /// The client refuses its settings.
    #[error("the client for Providers could not be made: {0}")]
    Settings(String),
}

/// Makes calls to Providers: to the very host that was meant, and nowhere else.
///
/// - **Guarantees:** follows no redirect, uses no proxy of the environment, keeps no cookie, and changes no byte of an answer.
#[derive(Clone)]
pub struct Clients {
    tls: ClientConfig,
    /// One for each time-out of connecting, of which there are few.
    made: Arc<Mutex<HashMap<Duration, Client>>>,
}

impl Clients {
    /// Returns a client that trusts the usual authorities, and those of a PEM text beside them.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn new(certificates: Option<&[u8]>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = certificates {
            use rustls::pki_types::CertificateDer;
            use rustls::pki_types::pem::PemObject;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| ClientError::Certificates(error.to_string()))?;
                roots.add(certificate).map_err(|error| ClientError::Certificates(error.to_string()))?;
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Settings(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls, made: Arc::default() })
    }

    /// Returns the client for a time-out of connecting.
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
