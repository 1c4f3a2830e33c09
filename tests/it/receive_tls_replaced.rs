//! TLS that is turned on, off or tightened while connections are open.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use sluicegate::receive::{ClientAuth, Limits, Tls, TlsConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::version::TLS13;

use crate::receive_door::{ID, envelope, line, settle, waiting};
use crate::receive_tls::{Authority, ask, shake};
use crate::receive_wire::{Open, answer, ends, open, whole};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
const OPEN: &str = "sluicegate_connections{listener=\"ingest\"}";

fn replace(open: &Open, config: Option<&TlsConfig>) {
    let tls = config.map(|config| Tls::open(config).unwrap());
    open.terms.send_modify(|limits: &mut Limits| limits.tls = tls);
}

/// Delivers what has come to the lanes.
async fn deliver(open: &mut Open) {
    loop {
        let parts = waiting(&mut open.house.inboxes);
        if !parts.is_empty() {
            return parts.into_iter().for_each(settle);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn who_came_in_clear_text_goes_when_tls_is_turned_on_and_back() {
    let authority = Authority::new();
    let mut open = open(|_| {}, false).await;
    let mut idle = TcpStream::connect(open.address).await.unwrap();
    idle.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut idle).await.0.status, 200);
    let mut busy = TcpStream::connect(open.address).await.unwrap();
    busy.write_all(&whole(&envelope(ID, &[line(1).as_bytes()]))).await.unwrap();
    assert!(open.house.inboxes[0].ready().await);

    // Limits that are replaced by others of the same demands change nothing.
    replace(&open, None);
    idle.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut idle).await.0.status, 200);

    replace(&open, Some(&authority.config(ClientAuth::NoClientCert)));
    assert!(ends(idle).await.is_empty());
    deliver(&mut open).await;
    assert_eq!(answer(&mut busy).await.0.status, 200, "a request in progress is answered");
    assert!(ends(busy).await.is_empty());

    let connector = authority.connector(&[&TLS13], &[], None);
    let shaken = shake(&connector, &open).await.unwrap();
    replace(&open, None);
    assert!(ends(shaken).await.is_empty());
    let mut plain = TcpStream::connect(open.address).await.unwrap();
    plain.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut plain).await.0.status, 200);
}

#[tokio::test]
async fn who_came_in_by_other_demands_on_clients_goes() {
    let (ours, other) = (Authority::new(), Authority::new());
    let first = ours.config(ClientAuth::NoClientCert);
    let verify = TlsConfig {
        client_auth_type: ClientAuth::RequireAndVerifyClientCert,
        client_ca_file: Some(ours.path("ca.pem")),
        ..first.clone()
    };
    let open = open(|config| config.tls_config = Some(first.clone()), true).await;
    let connector = ours.connector(&[&TLS13], &[], Some(ours.client()));
    let mut stream = shake(&connector, &open).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
    // Another certificate asks for nothing else.
    ours.write("server", "127.0.0.1");
    replace(&open, Some(&first));
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
    replace(&open, Some(&verify));
    assert!(ends(stream).await.is_empty());

    let mut stream = shake(&connector, &open).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
    replace(&open, Some(&verify));
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
    std::fs::copy(other.path("ca.pem"), ours.path("ca.pem")).unwrap();
    replace(&open, Some(&verify));
    assert!(ends(stream).await.is_empty());
    let outcome = match shake(&connector, &open).await {
        Ok(mut stream) => ask(&mut stream).await,
        Err(error) => Err(error),
    };
    assert!(outcome.is_err(), "its authority is gone: {outcome:?}");
}

#[tokio::test]
async fn who_waited_for_a_place_gets_the_terms_of_then() {
    let authority = Authority::new();
    let open = open(|config| config.max_connections = 1, true).await;
    let mut first = TcpStream::connect(open.address).await.unwrap();
    first.write_all(&whole(&envelope(ID, &[]))).await.unwrap();
    assert_eq!(answer(&mut first).await.0.status, 200);
    let mut waits = TcpStream::connect(open.address).await.unwrap();
    waits.write_all(HEALTH).await.unwrap();
    assert!(timeout(Duration::from_millis(50), waits.readable()).await.is_err());
    replace(&open, Some(&authority.config(ClientAuth::NoClientCert)));
    assert!(ends(first).await.is_empty());
    let rest = ends(waits).await;
    assert!(rest.is_empty(), "it was served in clear text: {rest:?}");
    while open.house.metric(OPEN) > 0.0 {
        tokio::task::yield_now().await;
    }
}
