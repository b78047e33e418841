//! A git server over HTTP: git's own, behind a door that asks for a password.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tiny_http::{Header, Request, Response, Server};

use super::Repository;

/// What a request is answered with.
#[derive(Clone)]
pub enum Door {
    /// The repository, for whoever sends these words in the header `Authorization`.
    Login(&'static str),
    /// This status, whoever asks.
    Refuses(u16),
    /// Another server.
    LeadsTo(String),
}

/// A server, and the headers `Authorization` that it was sent.
pub struct GitServer {
    pub url: String,
    pub authorizations: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub fn start(repository: &Repository, door: Door) -> Self {
        let server = Server::http("127.0.0.1:0").unwrap();
        let url = format!("http://{}/repository.git", server.server_addr());
        let authorizations = Arc::new(Mutex::new(Vec::new()));
        let (seen, root) = (authorizations.clone(), repository.folder().join(".git"));
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                let sent = header(&request, "Authorization");
                seen.lock().unwrap().extend(sent.clone());
                match &door {
                    Door::Login(words) if sent.as_deref() == Some(words) => serve(request, &root),
                    Door::Login(_) => refuse(request, 401, "WWW-Authenticate: Basic realm=\"git\""),
                    Door::Refuses(status) => refuse(request, *status, "X-Reason: none"),
                    Door::LeadsTo(url) => {
                        let place = request.url().trim_start_matches("/repository.git").to_owned();
                        refuse(request, 302, &format!("Location: {url}{place}"));
                    }
                }
            }
        });
        Self { url, authorizations }
    }
}

fn header(request: &Request, name: &'static str) -> Option<String> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.to_string())
}

fn refuse(request: Request, status: u16, header: &str) {
    let header: Header = header.parse().unwrap();
    // A client that has gone away does not mind.
    let _ = request.respond(Response::empty(status).with_header(header));
}

/// Answers as `git http-backend` does, which speaks CGI.
fn serve(mut request: Request, root: &PathBuf) {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let mut backend = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path.trim_start_matches("/repository.git"))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", request.method().to_string())
        .env("CONTENT_TYPE", header(&request, "Content-Type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", header(&request, "Content-Encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header(&request, "Git-Protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body).unwrap();
    backend.stdin.take().unwrap().write_all(&body).unwrap();
    let output = backend.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::from_data(&output[end + 4..]);
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => {
                response = response.with_status_code(status[..3].parse::<u16>().unwrap());
            }
            _ => response = response.with_header(line.parse::<Header>().unwrap()),
        }
    }
    let _ = request.respond(response);
}
