use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::*;

/// Made for these tests alone: an authority, and a server of the name localhost whose certificate it signed.
const AUTHORITY: &str = include_str!("../tests/certificates/authority.crt");
const SERVER: &str = include_str!("../tests/certificates/server.crt");
const SERVER_KEY: &str = include_str!("../tests/certificates/server.key");

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn refused(text: &str) -> String {
    let file = file(text);
    let said = Clients::new(Some(file.path())).err().unwrap().to_string();
    assert!(said.contains(&file.path().display().to_string()), "{said}");
    said
}

/// Starts a server that answers one call over TLS.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let settings = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).unwrap(),
        )
        .unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(settings)).unwrap();
        let mut secured = rustls::Stream::new(&mut connection, &mut stream);
        let mut asked = Vec::new();
        let mut byte = [0];
        // A client that does not trust the server ends the handshake, and then there is nothing to read or answer.
        while !asked.ends_with(b"\r\n\r\n") && secured.read_exact(&mut byte).is_ok() {
            asked.extend(byte);
        }
        let _ = secured.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    });
    address
}

async fn call(clients: &Clients, url: &str) -> Result<u16, String> {
    let client = clients.get(Duration::from_secs(5)).unwrap();
    client.get(url).send().await.map(|answer| answer.status().as_u16()).map_err(innermost_cause)
}

#[test]
fn a_file_without_a_usable_certificate_is_refused_by_its_name() {
    for text in ["", "ca.crt\n", SERVER_KEY, &AUTHORITY.replace("CERTIFICATE", "NOTE")] {
        let said = refused(text);
        assert!(said.contains("has no certificate") && said.contains("-----BEGIN CERTIFICATE-----"), "{said}");
    }
    let broken = format!("{AUTHORITY}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(refused(&broken).starts_with("certificate 2 of the file"), "{}", refused(&broken));
    let cut = &AUTHORITY[..AUTHORITY.len() / 2];
    assert!(refused(cut).starts_with("certificate 1 of the file"), "{}", refused(cut));
    let missing = Clients::new(Some(Path::new("/no/such/ca.crt"))).err().unwrap();
    assert!(missing.to_string().contains("/no/such/ca.crt cannot be read"), "{missing}");
    assert!(Clients::new(Some(file(AUTHORITY).path())).is_ok());
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_named_as_such_and_trusted_once_its_authority_is() {
    let url = |address: SocketAddr| format!("https://localhost:{}/v1", address.port());
    let said = call(&Clients::new(None).unwrap(), &url(server())).await.unwrap_err();
    assert!(said.contains("UnknownIssuer") && said.contains("gateway.certificatesConfigMap"), "{said}");
    assert!(!said.contains("localhost"), "{said}");
    let trusting = Clients::new(Some(file(AUTHORITY).path())).unwrap();
    assert_eq!(call(&trusting, &url(server())).await, Ok(204));
}

#[tokio::test]
async fn a_connection_that_is_refused_is_said_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let said = call(&Clients::new(None).unwrap(), &format!("http://{address}/v1")).await.unwrap_err();
    assert!(said.starts_with("Connection refused"), "{said}");
    assert!(!said.contains("127.0.0.1") && !said.contains("http"), "{said}");
}
