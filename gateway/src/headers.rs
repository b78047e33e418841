//! Selects the headers and the query that pass, finds a World's token, and puts in the Provider's key.

use http::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use manyworlds_api::provider::Protocol;
use secrecy::{ExposeSecret, SecretString};

/// Headers that belong to one connection, or that a connection makes for itself.
const OF_THE_CONNECTION: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of a request that name the caller, the payer or another target, and headers that change the form of the body or the
/// answer. Without `accept-encoding` and `x-goog-fieldmask` the usage is there and readable. Without `content-encoding`,
/// `content-type` and `x-http-method-override` the body is posted as JSON, as it was read.
const OF_THE_CALLER: [&str; 21] = [
    "accept-encoding",
    "anthropic-user-profile-id",
    "anthropic-workspace-id",
    "api-key",
    "authorization",
    "content-encoding",
    "content-type",
    "cookie",
    "forwarded",
    "openai-organization",
    "openai-project",
    "via",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-goog-api-key",
    "x-goog-fieldmask",
    "x-goog-user-project",
    "x-http-method-override",
    "x-real-ip",
];

/// Fields of a query that name the caller or the payer, or ask for a form of answer whose usage nobody could read.
const OF_THE_QUERY: [&str; 7] = ["key", "api_key", "access_token", "oauth_token", "userProject", "fields", "callback"];
/// The forms of an answer that can be read.
const FORMS: [&str; 2] = ["sse", "json"];

/// The beginning of headers by which a World tells the gateway something.
const OF_OURS: &str = "x-manyworlds-";

/// Headers of an answer that are between the gateway and the Provider.
const OF_THE_PROVIDER: [&str; 5] =
    ["alt-svc", "openai-organization", "openai-project", "anthropic-organization-id", "set-cookie"];

/// Returns the token that a World sends, wherever its client puts a key.
///
/// - **Guarantees:** nothing where two headers hold different tokens: their order must not decide.
pub fn token(headers: &HeaderMap) -> Option<SecretString> {
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let keys = ["x-api-key", "x-goog-api-key"]
        .into_iter()
        .flat_map(|name| headers.get_all(name).iter().map(|value| value.to_str().ok().map(str::trim)));
    let mut found = bearer.chain(keys);
    let first = found.next()??;
    let same = found.all(|other| other == Some(first));
    (same && !first.is_empty()).then(|| SecretString::from(first))
}

/// Returns the headers to send upstream: the client's own without those of its connection and its identity, and the Provider's key.
///
/// # Errors
///
/// [`InvalidHeaderValue`] (class: spec) where the key has characters that no header may have.
pub fn upstream(
    headers: &HeaderMap,
    protocol: Protocol,
    key: Option<&SecretString>,
) -> Result<HeaderMap, InvalidHeaderValue> {
    let mut passed = without(headers, &OF_THE_CALLER);
    let ours: Vec<_> = passed.keys().filter(|name| name.as_str().starts_with(OF_OURS)).cloned().collect();
    for name in &ours {
        passed.remove(name);
    }
    passed.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    passed.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = key {
        let (name, text) = match protocol {
            Protocol::OpenAi => (AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
            Protocol::Anthropic => (HeaderName::from_static("x-api-key"), key.expose_secret().to_owned()),
            Protocol::Gemini => (HeaderName::from_static("x-goog-api-key"), key.expose_secret().to_owned()),
        };
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        passed.insert(name, value);
    }
    Ok(passed)
}

/// Returns the headers of an answer to send to the client.
pub fn downstream(headers: &HeaderMap) -> HeaderMap {
    without(headers, &OF_THE_PROVIDER)
}

/// Returns the query to send upstream: the client's own without keys, payers and other forms of answer.
pub fn query(query: &str) -> Option<String> {
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // An escaped name could be a key in disguise, and no client escapes a name. With `$` before them, Google's servers
            // take the same names once more.
            let is_plain = !name.is_empty() && !name.contains(['%', '+', '$']);
            is_plain && !OF_THE_QUERY.contains(&name) && (name != "alt" || FORMS.contains(&value))
        })
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn without(headers: &HeaderMap, dropped: &[&str]) -> HeaderMap {
    let listed: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let is_kept = |name: &str| {
        !OF_THE_CONNECTION.contains(&name) && !dropped.contains(&name) && !listed.iter().any(|other| other == name)
    };
    let mut passed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| is_kept(name.as_str())) {
        passed.append(name.clone(), value.clone());
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn token_of(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        token(&headers(pairs)).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn a_token_is_found_where_each_client_puts_its_key() {
        for pair in
            [("authorization", "Bearer t"), ("authorization", "bearer t"), ("x-api-key", "t"), ("x-goog-api-key", "t")]
        {
            assert_eq!(token_of(&[pair]), Some("t".to_owned()), "{pair:?}");
        }
        assert_eq!(token_of(&[("authorization", "Bearer t"), ("x-api-key", "t")]), Some("t".to_owned()));
    }

    #[test]
    fn no_token_or_two_different_ones_are_none() {
        for pairs in [
            &[][..],
            &[("authorization", "Basic t")],
            &[("authorization", "Bearer ")],
            &[("x-api-key", "")],
            &[("authorization", "Bearer t"), ("x-api-key", "u")],
        ] {
            assert_eq!(token_of(pairs), None, "{pairs:?}");
        }
    }

    #[test]
    fn the_key_takes_the_place_of_the_token_and_only_the_clients_own_headers_pass() {
        let sent = headers(&[
            ("authorization", "Bearer token"),
            ("x-api-key", "token"),
            ("x-goog-api-key", "token"),
            ("api-key", "token"),
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("accept-encoding", "gzip"),
            ("anthropic-beta", "a"),
            ("anthropic-beta", "b"),
            ("x-unknown", "kept"),
            ("x-goog-user-project", "another"),
            ("x-goog-fieldmask", "candidates"),
            ("x-http-method-override", "GET"),
            ("anthropic-user-profile-id", "another"),
            ("content-encoding", "gzip"),
            ("content-type", "application/x-protobuf"),
            ("anthropic-workspace-id", "another"),
            ("x-manyworlds-context-reduced", "before=2"),
        ]);
        let key = SecretString::from("secret");
        for (protocol, name, value) in [
            (Protocol::OpenAi, "authorization", "Bearer secret"),
            (Protocol::Anthropic, "x-api-key", "secret"),
            (Protocol::Gemini, "x-goog-api-key", "secret"),
        ] {
            let passed = upstream(&sent, protocol, Some(&key)).unwrap();
            let mut names: Vec<_> = passed.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let mut expected =
                vec!["accept-encoding", "anthropic-beta", "anthropic-beta", "content-type", name, "x-unknown"];
            expected.sort_unstable();
            assert_eq!(names, expected);
            assert_eq!(passed[name], value);
            assert!(passed[name].is_sensitive(), "or the key would be in a log of headers");
            assert_eq!(passed["accept-encoding"], "identity");
            assert_eq!(passed["content-type"], "application/json");
        }
    }

    #[test]
    fn a_provider_without_a_key_gets_none() {
        let passed = upstream(&headers(&[("authorization", "Bearer token")]), Protocol::OpenAi, None).unwrap();
        assert!(!passed.contains_key("authorization"));
    }

    #[test]
    fn an_answer_keeps_its_own_headers() {
        let answer = headers(&[
            ("retry-after", "3"),
            ("x-request-id", "r"),
            ("set-cookie", "c"),
            ("openai-organization", "o"),
            ("te", "x"),
        ]);
        assert_eq!(downstream(&answer), headers(&[("retry-after", "3"), ("x-request-id", "r")]));
    }

    #[test]
    fn keys_payers_and_other_forms_are_dropped_from_a_query_and_the_rest_stays() {
        for (given, expected) in [
            ("alt=sse&key=token&$userProject=another&fields=candidates&$key=a", Some("alt=sse")),
            ("beta=true", Some("beta=true")),
            ("alt=proto&callback=a&userProject=b&oauth_token=c", None),
            ("key=token", None),
            ("k%65y=token&a=%20", Some("a=%20")),
            ("", None),
        ] {
            assert_eq!(query(given).as_deref(), expected, "{given}");
        }
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn no_query_names_a_key_a_payer_or_another_form_however_it_is_written() {
            let seeds: [&[u8]; 3] = [
                b"alt=sse&key=token&$userProject=a&fields=b",
                b"beta=true&k%65y=a&api_key=b",
                b"alt=json&access_token=a",
            ];
            fuzz(&seeds, |input| {
                // As the HTTP library hands it on.
                let text = format!("/?{}", String::from_utf8_lossy(input));
                let Ok(address) = text.parse::<http::Uri>() else { return };
                let Some(kept) = address.query().and_then(query) else { return };
                let url = reqwest::Url::parse(&format!("http://provider.example/?{kept}")).unwrap();
                for (name, value) in url.query_pairs() {
                    let name = name.trim_start_matches('$');
                    assert!(!OF_THE_QUERY.contains(&name), "{kept}");
                    assert!(name != "alt" || FORMS.contains(&&*value), "{kept}");
                }
            });
        }
    }
}
