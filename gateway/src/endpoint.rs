//! The endpoints of the gateway, and their paths upstream.

use http::Method;
use manyworlds_api::provider::Protocol;

/// The marks that a path may have besides letters and digits. No path needs an escape, so none can be read in two ways.
const PATH_MARKS: &[u8] = b"/-._~:@";
/// The longest path, in bytes. Names of models are bounded by the Provider's schema at 253.
const LONGEST_PATH: usize = 512;

/// The endpoint that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    ChatCompletions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/messages/count_tokens`. It costs nothing.
    MessagesCountTokens,
    /// `POST /v1beta/models/<model>:generateContent`.
    GenerateContent(String),
    /// `POST /v1beta/models/<model>:streamGenerateContent`.
    StreamGenerateContent(String),
    /// `POST /v1beta/models/<model>:countTokens`. It costs nothing.
    CountTokens(String),
    /// `GET /v1/models`, which OpenAI's and Anthropic's clients ask. Answered by the gateway.
    Models,
    /// `GET /v1beta/models`. Answered by the gateway.
    GeminiModels,
    /// `GET /v1/models/<model>`. Answered by the gateway.
    Model(String),
    /// `GET /v1beta/models/<model>`. Answered by the gateway.
    GeminiModel(String),
    /// `HEAD` or `GET` of `/`, `/api/hello` or `/v1`: clients check that the server is there. Answered by the gateway.
    Probe,
}

/// Why a path is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No client writes a path in this way.
    #[error("the path is not written plainly; write it without escapes, empty parts, . and ..")]
    Path,
    /// There is no such endpoint.
    #[error("the gateway has no such endpoint")]
    Unknown,
    /// The endpoint is there, for another method.
    #[error("the endpoint takes another method")]
    Method,
}

impl Endpoint {
    /// Finds the endpoint that a method and a path, without its query, mean.
    ///
    /// - **Guarantees:** the path for upstream is written anew. Only the name of a model, in plain letters, is the client's own text.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] (class: spec).
    pub fn find(method: &Method, path: &str) -> Result<Self, EndpointError> {
        check(path)?;
        let (found, wanted) = Self::of_path(path).ok_or(EndpointError::Unknown)?;
        let takes = method == wanted || (wanted == Method::GET && method == Method::HEAD);
        if takes { Ok(found) } else { Err(EndpointError::Method) }
    }

    fn of_path(path: &str) -> Option<(Self, Method)> {
        let post = |endpoint| Some((endpoint, Method::POST));
        let get = |endpoint| Some((endpoint, Method::GET));
        match path {
            "/" | "/api/hello" | "/v1" => get(Self::Probe),
            "/v1/chat/completions" => post(Self::ChatCompletions),
            "/v1/responses" => post(Self::Responses),
            "/v1/completions" => post(Self::Completions),
            "/v1/embeddings" => post(Self::Embeddings),
            "/v1/messages" => post(Self::Messages),
            "/v1/messages/count_tokens" => post(Self::MessagesCountTokens),
            "/v1/models" => get(Self::Models),
            "/v1beta/models" => get(Self::GeminiModels),
            _ => {
                if let Some(model) = path.strip_prefix("/v1/models/") {
                    return get(Self::Model(model.to_owned()));
                }
                let rest = path.strip_prefix("/v1beta/models/")?;
                match rest.rsplit_once(':') {
                    Some((model, "generateContent")) => post(Self::GenerateContent(named(model)?)),
                    Some((model, "streamGenerateContent")) => post(Self::StreamGenerateContent(named(model)?)),
                    Some((model, "countTokens")) => post(Self::CountTokens(named(model)?)),
                    Some(_) => None,
                    None => get(Self::GeminiModel(rest.to_owned())),
                }
            }
        }
    }

    /// Returns the endpoint with the name of the model as the Provider knows it.
    #[must_use]
    pub fn with_model(self, model: &str) -> Self {
        match self {
            Self::GenerateContent(_) => Self::GenerateContent(model.to_owned()),
            Self::StreamGenerateContent(_) => Self::StreamGenerateContent(model.to_owned()),
            Self::CountTokens(_) => Self::CountTokens(model.to_owned()),
            other => other,
        }
    }

    /// Returns the protocol of the endpoint. A list of models and a probe have none: the headers decide.
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Completions | Self::Embeddings => Some(Protocol::OpenAi),
            Self::Messages | Self::MessagesCountTokens => Some(Protocol::Anthropic),
            Self::GenerateContent(_)
            | Self::StreamGenerateContent(_)
            | Self::CountTokens(_)
            | Self::GeminiModels
            | Self::GeminiModel(_) => Some(Protocol::Gemini),
            Self::Models | Self::Model(_) | Self::Probe => None,
        }
    }

    /// Returns the protocol of a path by its beginning, also where it is no endpoint.
    pub(crate) fn protocol_of_path(path: &str) -> Option<Protocol> {
        const BEGINNINGS: [(&str, Protocol); 6] = [
            ("/v1beta", Protocol::Gemini),
            ("/v1/messages", Protocol::Anthropic),
            ("/v1/chat/", Protocol::OpenAi),
            ("/v1/completions", Protocol::OpenAi),
            ("/v1/responses", Protocol::OpenAi),
            ("/v1/embeddings", Protocol::OpenAi),
        ];
        BEGINNINGS.into_iter().find(|(beginning, _)| path.starts_with(beginning)).map(|(_, protocol)| protocol)
    }

    /// Returns the path behind the Provider's base URL, or nothing where the gateway answers by itself.
    ///
    /// - **Shape:** a base URL of OpenAI's ends with `/v1`, one of the other protocols with the host, as their clients write it.
    pub fn upstream_path(&self) -> Option<String> {
        let path = match self {
            Self::ChatCompletions => "/chat/completions".to_owned(),
            Self::Responses => "/responses".to_owned(),
            Self::Completions => "/completions".to_owned(),
            Self::Embeddings => "/embeddings".to_owned(),
            Self::Messages => "/v1/messages".to_owned(),
            Self::MessagesCountTokens => "/v1/messages/count_tokens".to_owned(),
            Self::GenerateContent(model) => format!("/v1beta/models/{model}:generateContent"),
            Self::StreamGenerateContent(model) => format!("/v1beta/models/{model}:streamGenerateContent"),
            Self::CountTokens(model) => format!("/v1beta/models/{model}:countTokens"),
            Self::Models | Self::GeminiModels | Self::Model(_) | Self::GeminiModel(_) | Self::Probe => return None,
        };
        Some(path)
    }
}

fn named(model: &str) -> Option<String> {
    (!model.is_empty()).then(|| model.to_owned())
}

fn check(path: &str) -> Result<(), EndpointError> {
    let plain = path.len() <= LONGEST_PATH
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || PATH_MARKS.contains(&byte));
    let parts = path.strip_prefix('/').ok_or(EndpointError::Path)?;
    let whole = parts.is_empty() || parts.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain && whole { Ok(()) } else { Err(EndpointError::Path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_and_goes_to_its_own_path() {
        for (path, protocol, upstream) in [
            ("/v1/chat/completions", Protocol::OpenAi, "/chat/completions"),
            ("/v1/responses", Protocol::OpenAi, "/responses"),
            ("/v1/completions", Protocol::OpenAi, "/completions"),
            ("/v1/embeddings", Protocol::OpenAi, "/embeddings"),
            ("/v1/messages", Protocol::Anthropic, "/v1/messages"),
            ("/v1/messages/count_tokens", Protocol::Anthropic, "/v1/messages/count_tokens"),
            ("/v1beta/models/g:generateContent", Protocol::Gemini, "/v1beta/models/g:generateContent"),
            ("/v1beta/models/g:streamGenerateContent", Protocol::Gemini, "/v1beta/models/g:streamGenerateContent"),
            ("/v1beta/models/g:countTokens", Protocol::Gemini, "/v1beta/models/g:countTokens"),
        ] {
            let found = Endpoint::find(&Method::POST, path).unwrap();
            assert_eq!(
                (found.protocol(), found.upstream_path().as_deref()),
                (Some(protocol), Some(upstream)),
                "{path}"
            );
            assert_eq!(Endpoint::find(&Method::GET, path), Err(EndpointError::Method), "{path}");
        }
    }

    #[test]
    fn requests_that_clients_begin_with_never_go_upstream() {
        for path in
            ["/", "/api/hello", "/v1/models", "/v1/models/gpt-5", "/v1beta/models", "/v1beta/models/gemini-2.5-pro"]
        {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(Endpoint::find(&method, path).unwrap().upstream_path(), None, "{method} {path}");
            }
        }
    }

    #[test]
    fn tricks_with_paths_are_refused() {
        for path in [
            "",
            "v1/messages",
            "//v1/messages",
            "/v1//messages",
            "/v1/../messages",
            "/v1/./messages",
            "/v1/%6dessages",
            "/v1/messages\0",
            "/v1/messages/",
            "/v1\\messages",
            "/v1beta/models/../files:generateContent",
            "/v1beta/models/a%2f..%2fb:generateContent",
            "/v1beta/models/a?b:generateContent",
            "/v1/messages#a",
        ] {
            assert_eq!(Endpoint::find(&Method::POST, path), Err(EndpointError::Path), "{path:?}");
        }
        for path in ["/v1/files", "/v1/messages/batches", "/v1beta/models/:generateContent", "/v1beta/models/g:embed"] {
            assert_eq!(Endpoint::find(&Method::POST, path), Err(EndpointError::Unknown), "{path:?}");
        }
        let long = format!("/v1/models/{}", "a".repeat(LONGEST_PATH));
        assert_eq!(Endpoint::find(&Method::GET, &long), Err(EndpointError::Path));
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn no_path_leads_elsewhere_upstream() {
            let seeds: [&[u8]; 4] = [
                b"/v1/chat/completions",
                b"/v1beta/models/../a:generateContent",
                b"/v1beta/models/a/./b%2f:countTokens",
                b"/v1beta/models/publishers/g/models/m-2.5:streamGenerateContent",
            ];
            fuzz(&seeds, |input| {
                let Ok(found) = Endpoint::find(&Method::POST, &String::from_utf8_lossy(input)) else { return };
                let path = found.upstream_path().expect("what is posted goes upstream");
                let url = reqwest::Url::parse(&format!("http://provider.example{path}")).unwrap();
                assert_eq!(url.path(), path, "it is read as it was written");
                assert_eq!((url.query(), url.fragment(), url.host_str()), (None, None, Some("provider.example")));
            });
        }
    }
}
