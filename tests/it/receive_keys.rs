//! Who may come in: keys, their rotation, their sources.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use sluicegate::receive::{AccessKey, KeySource};

use crate::receive_door::{ARN, House, ID, KEY, config, envelope, key, request, with};

const KEY_HEADER: &str = "x-amz-firehose-access-key";
const ARN_HEADER: &str = "x-amz-firehose-source-arn";

fn keyed(text: &str) -> Request<Body> {
    with(request(envelope(ID, &[])), KEY_HEADER, text)
}

/// A body that must not be touched.
fn untouchable() -> Body {
    struct Untouchable;
    impl axum::body::HttpBody for Untouchable {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            panic!("the body was read")
        }
    }
    Body::new(Untouchable)
}

#[tokio::test]
async fn keys_and_their_sources() {
    let bound = |arns: &[&str], accounts: &[&str]| AccessKey {
        source_arns: arns.iter().map(|s| (*s).to_owned()).collect(),
        accounts: accounts.iter().map(|s| (*s).to_owned()).collect(),
        ..key("bound", "bound")
    };
    let any = "arn:aws:firehose:*:111122223333:deliverystream/*";
    let other = "arn:aws:firehose:*:444455556666:deliverystream/*";
    for (name, bound, shown, arn, status) in [
        ("unbound", bound(&[], &[]), "bound", ARN, 200),
        ("unbound, no ARN", bound(&[], &[]), "bound", "", 200),
        ("one of two", bound(&[other, any], &[]), "bound", ARN, 200),
        ("other ARN", bound(&[other], &[]), "bound", ARN, 403),
        ("no ARN", bound(&[any], &[]), "bound", "", 403),
        ("account", bound(&[], &["1", "111122223333"]), "bound", ARN, 200),
        ("other account", bound(&[], &["444455556666"]), "bound", ARN, 403),
        ("no ARN for the account", bound(&[], &["111122223333"]), "bound", "", 403),
        ("ARN but not account", bound(&[any], &["444455556666"]), "bound", ARN, 403),
        ("the other key", bound(&[other], &[]), KEY, ARN, 200),
        ("a prefix", bound(&[], &[]), "boun", ARN, 401),
        ("longer", bound(&[], &[]), "bound2", ARN, 401),
        ("other case", bound(&[], &[]), "Bound", ARN, 401),
        ("missing, ARN right", bound(&[any], &[]), "", ARN, 401),
        ("wrong, ARN wrong", bound(&[other], &[]), "no", ARN, 401),
    ] {
        let house = House::delivering(|config| config.access_keys.push(bound));
        let answer = house.call(with(keyed(shown), ARN_HEADER, arn)).await;
        assert_eq!(answer.status, status, "{name}");
        if status != 200 {
            let waits = with(with(keyed(shown), ARN_HEADER, arn), "expect", "100-continue");
            let (parts, _) = waits.into_parts();
            let answer = house.call(Request::from_parts(parts, untouchable())).await;
            assert_eq!(answer.status, status, "{name}: before the body");
        }
        assert!(!answer.error.contains(KEY));
    }
}

#[tokio::test]
async fn an_empty_key_or_two_never_match() {
    let house = House::delivering(|_| {});
    let mut empty = keyed("");
    empty.headers_mut().insert(KEY_HEADER, "".parse().unwrap());
    assert_eq!(house.call(empty).await.status, 401);
    let mut twice = keyed(KEY);
    twice.headers_mut().append(KEY_HEADER, KEY.parse().unwrap());
    assert_eq!(house.call(twice).await.status, 401);
}

#[tokio::test]
async fn one_text_under_two_names_is_told_apart_by_its_source() {
    let named = |name: &str, account: &str| AccessKey {
        accounts: vec![account.to_owned()],
        ..key(name, "shared")
    };
    let house = House::delivering(|config| {
        config.access_keys = vec![named("a", "444455556666"), named("b", "111122223333")];
    });
    assert_eq!(house.call(keyed("shared")).await.status, 200);
    let used = |key| format!("sluicegate_access_key_last_used_timestamp_seconds{{key=\"{key}\"}}");
    assert_eq!(house.metric(&used("a")), 0.0);
    assert!(house.metric(&used("b")) > 1.6e9);
}

#[tokio::test(start_paused = true)]
async fn keys_rotate_by_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, "{\"api_key\":\"first\"}\n").unwrap();
    let house = House::delivering(|config| {
        config.access_keys = vec![
            AccessKey { source: KeySource::KeyFile(path.clone()), ..key("file", "") },
            key("previous", KEY),
        ];
    });
    for (text, status) in [("first", 200), ("{\"api_key\":\"first\"}", 401), (KEY, 200)] {
        assert_eq!(house.call(keyed(text)).await.status, status, "{text}");
    }
    fs::write(&path, "second\n").unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    for (text, status) in [("first", 401), ("second", 200), (KEY, 200)] {
        assert_eq!(house.call(keyed(text)).await.status, status, "{text}");
    }
}

#[test]
fn a_door_without_usable_keys_is_not_built() {
    let fault = |tune: fn(&mut sluicegate::receive::Config)| {
        let mut config = config();
        tune(&mut config);
        House::try_new(&config).err().map(|fault| fault.to_string()).unwrap_or_default()
    };
    assert!(fault(|c| c.access_keys.clear()).contains("insecure_allow_unauthenticated"));
    assert_eq!(
        fault(|c| {
            c.access_keys.clear();
            c.insecure_allow_unauthenticated = true;
        }),
        ""
    );
    assert!(fault(|c| c.access_keys.push(key("void", " \n"))).contains("`void` is empty"));
    assert!(fault(|c| c.access_keys.push(key("void", "{\"api_key\":\"\"}"))).contains("`void`"));
    assert!(fault(|c| c.access_keys.push(key("long", &"x".repeat(4097)))).contains("longer"));
    assert_eq!(fault(|c| c.access_keys.push(key("longest", &"x".repeat(4096)))), "");
    let missing = fault(|c| {
        c.access_keys[0].source = KeySource::KeyFile("/nowhere/key".into());
    });
    assert!(missing.contains("/nowhere/key"), "{missing}");
}

#[tokio::test]
async fn without_keys_everyone_comes_in_if_that_is_meant() {
    let house = House::delivering(|config| {
        config.access_keys.clear();
        config.insecure_allow_unauthenticated = true;
    });
    assert_eq!(house.call(keyed("")).await.status, 200);
    assert_eq!(house.call(keyed("anything")).await.status, 200);
    let house = House::delivering(|config| config.insecure_allow_unauthenticated = true);
    assert_eq!(house.call(keyed("")).await.status, 401, "a key that is there is asked for");
}
