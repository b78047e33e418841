//! The claims of a token that nobody has checked yet: the pod that it says it is bound to.
//!
//! They decide nothing but whether the API server is asked at all. So a token that names no pod of an order costs the API server
//! nothing, however many of them come.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::reviews::PodIdentity;

/// The most bytes of a token that is read. The API server's have about a thousand.
const LONGEST: usize = 16 * 1024;

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims,
}

#[derive(Deserialize)]
struct KubernetesClaims {
    namespace: String,
    pod: PodClaims,
}

#[derive(Deserialize)]
struct PodClaims {
    name: String,
    uid: String,
}

/// Returns the pod that a token says it is bound to.
///
/// - **Shape:** `None` for what is no token of a pod.
pub(super) fn claimed_pod(token: &str) -> Option<PodIdentity> {
    if token.len() > LONGEST {
        return None;
    }
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Claims { kubernetes: KubernetesClaims { namespace, pod } } = serde_json::from_slice(&bytes).ok()?;
    Some(PodIdentity { namespace, name: pod.name, uid: pod.uid })
}

/// Returns a token that says it is bound to a pod, and that nobody has signed.
#[cfg(test)]
pub(super) fn token_of(pod: &PodIdentity) -> String {
    let PodIdentity { namespace, name, uid } = pod;
    let claims =
        serde_json::json!({ "kubernetes.io": { "namespace": namespace, "pod": { "name": name, "uid": uid } } });
    format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_of_a_pod_names_one() {
        let pod = PodIdentity { namespace: "team".to_owned(), name: "fix-alpha-1".to_owned(), uid: "u".to_owned() };
        let token = token_of(&pod);
        assert_eq!(claimed_pod(&token), Some(pod));
        let of_an_account = format!("e30.{}.s", URL_SAFE_NO_PAD.encode(r#"{"kubernetes.io":{"namespace":"team"}}"#));
        let long = format!("{token}{}", "a".repeat(LONGEST));
        for other in ["", "a", "a.b.c", "e30.e30.e30", &of_an_account, &long, &format!("{token}.more")] {
            assert_eq!(claimed_pod(other), None, "{other:.80}");
        }
    }

    /// `make fuzz` runs these for longer.
    mod fuzzed {
        use manyworlds_test_support::fuzz::fuzz;

        use super::*;

        #[test]
        fn whatever_a_token_claims_is_one_pod_or_none() {
            let seeds: [&[u8]; 3] = [
                br#"{"kubernetes.io":{"namespace":"team","pod":{"name":"fix-alpha-1","uid":"u"}},"aud":["a"]}"#,
                br#"{"kubernetes.io":{"namespace":"team"}}"#,
                b"e30.e30.e30",
            ];
            fuzz(&seeds, |input| {
                let signed = format!("e30.{}.s", URL_SAFE_NO_PAD.encode(input));
                for token in [&*String::from_utf8_lossy(input), signed.as_str()] {
                    let claimed = claimed_pod(token);
                    assert!(claimed.is_none() || token.len() <= LONGEST);
                    // The same pod is named by a token of its own, and by no other text.
                    let again = claimed.as_ref().map(token_of).filter(|token| token.len() <= LONGEST);
                    assert!(again.is_none_or(|token| claimed_pod(&token) == claimed));
                }
            });
        }
    }
}
