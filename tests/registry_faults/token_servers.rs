//! Who answered what: a registry, or the token server that it names.

use polyarch::registry::ErrorKind;

use super::{CANARY, GET, Login, Peer, quick};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

/// A registry that names a token server at `realm`; `HOST` is its own. `answer` is to all but the request for a token.
async fn naming(realm: &'static str, token: Reply, answer: fn(&Request) -> Option<Reply>) -> ScriptedRegistry {
    ScriptedRegistry::stateful(move |request| {
        let realm = realm.replace("HOST", request.header("host")?);
        if request.target.starts_with("/token") {
            return Some(token.clone());
        }
        let challenge = status(401).header("WWW-Authenticate", format!(r#"Bearer realm="{realm}",service="s""#));
        answer(request).or(Some(challenge))
    })
    .await
}

#[tokio::test]
async fn failing_token_server_is_named_and_is_not_a_missing_image() {
    for (code, said, hint) in [
        (404, "answered 404", "which names HOST as its token server"),
        (405, "answered 405", "which names HOST as its token server"),
        (500, "answered 500", "read the log of HOST"),
    ] {
        let registry = naming("http://HOST/token", status(code), |_| None).await;
        let host = registry.host();
        let error = Peer::new(&host, quick(), Login::basic()).get().await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("registry {host} has a token server, {host}, that {said}")), "{text}");
        assert!(error.request().contains("/token"), "{error:?}");
        assert!(error.hint().unwrap().contains(&hint.replace("HOST", &host)), "{error:?}");
        assert!(!error.is_not_found() && error.answer().is_none(), "{error:?}");
        assert!(!format!("{error:?}").contains(CANARY));
        assert_eq!(registry.count("GET /token"), if code == 500 { 5 } else { 1 });
    }
}

#[tokio::test]
async fn unresolvable_token_server_is_named() {
    let registry = naming("https://token.invalid/token", status(418), |_| None).await;
    let error = Peer::new(&registry.host(), quick(), Login::basic()).get().await.unwrap_err();
    let host = registry.host();
    let said = format!("registry {host} has a token server, token.invalid, that has a name that does not resolve");
    assert!(error.to_string().starts_with(&said), "{error}");
    assert!(error.hint().unwrap().contains("token.invalid") && error.is_unreachable(), "{error:?}");
}

/// distribution's `token` access controller answers 401 to a token that is too small.
#[tokio::test]
async fn login_without_permission_gets_no_hint_to_log_in_again() {
    let refuse = |request: &Request| {
        let challenge = r#"Bearer realm="http://HOST/token",service="s",error="insufficient_scope""#;
        let challenge = challenge.replace("HOST", request.header("host")?);
        request.header("authorization").map(|_| status(401).header("WWW-Authenticate", challenge))
    };
    let token = || status(200).body(r#"{"token":"t"}"#);
    let registry = naming("http://HOST/token", token(), refuse).await;
    let error = Peer::new(&registry.host(), quick(), Login::basic()).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Denied(_)), "{error}");
    assert!(error.hint().unwrap().contains("check that your login has permission"), "{error:?}");
    assert_eq!((registry.count(GET), registry.count("GET /token")), (2, 1));
    let registry = naming("http://HOST/token", token(), refuse).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LoginRequired(_)), "{error}");
}
