//! Cryptography for HTTP clients.

/// Installs the provider of cryptography. Clients ask for one even where they speak plain HTTP.
pub(crate) fn install_provider() {
    // An error means that there is one already.
    drop(rustls::crypto::ring::default_provider().install_default());
}
