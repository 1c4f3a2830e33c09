//! Certificates replaced under load: the destination's own, its authority, and the one by which it
//! knows the gateway.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may end so.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::amp_front::{AmpFront, Guard};
use crate::deliver_tls::Authority;
use crate::house::Standing;
use crate::rotation_kit::{Load, until};

/// How long the gateway may take to see that a file has changed, and some more.
const SEEN: Duration = Duration::from_millis(1_500);

/// A server with a certificate of `own` that takes clients of `clients`.
fn server(own: &Authority, clients: &[&Authority]) -> Arc<ServerConfig> {
    let (certificate, key) = own.issue("127.0.0.1");
    let mut roots = RootCertStore::empty();
    for authority in clients {
        roots.add(authority.issuer.der().clone()).unwrap();
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// A front behind TLS. Other settings end the connections of before, as a restart does.
async fn front(mut settings: watch::Receiver<Arc<ServerConfig>>) -> AmpFront {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = AmpFront::unbound(Guard::Open, listener.local_addr().unwrap());
    let accepting = front.clone();
    let tasks = Tasks::new();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::clone(&settings.borrow_and_update()));
            let (accepting, mut changed) = (accepting.clone(), settings.clone());
            connections.spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    accepting.serve_until(stream, async move {
                        let _ = changed.changed().await;
                    });
                }
            });
        }
    });
    front
}

/// What a step of a rotation replaces.
enum Step<'a> {
    Server(Arc<ServerConfig>),
    /// The authorities that the gateway trusts.
    Trust(&'a [&'a Authority]),
    /// The gateway's certificate and key, the one a moment after the other.
    Client(&'a Authority),
    Wait(Duration),
}

async fn rotate(of: &str, begin: Arc<ServerConfig>, old: &Authority, steps: Vec<Step<'_>>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let trust = |authorities: &[&Authority]| {
        let bundle: String = authorities.iter().map(|authority| authority.issuer.pem()).collect();
        write("ca.pem", &bundle);
    };
    let client = async |authority: &Authority, gap| {
        let (certificate, key) = authority.issue("gateway");
        write("client.pem", &certificate.pem());
        sleep(gap).await;
        write("client.key", &key.serialize_pem());
    };
    trust(&[old]);
    client(old, Duration::ZERO).await;
    let (settings, watched) = watch::channel(begin);
    let front = front(watched).await;
    let dir = folder.path().display();
    let rest = format!(
        "remote_write:\n  - name: there\n    url: \"https://{}/write\"\n    tls_config: {{ ca_file: \
         {dir}/ca.pem, cert_file: {dir}/client.pem, key_file: {dir}/client.key }}\n    \
         queue_config: {{ max_shards: 2, min_backoff: 10ms, max_backoff: 100ms }}",
        front.address
    );
    let standing = Standing::start("", &rest).await;
    let load = Load::start(of, || standing.firehose_once());
    until(of, async || front.received().len() > 20).await;
    for step in steps {
        match step {
            Step::Server(config) => settings.send(config).unwrap(),
            Step::Trust(authorities) => trust(authorities),
            Step::Client(authority) => client(authority, Duration::from_millis(100)).await,
            Step::Wait(time) => sleep(time).await,
        }
    }
    let before = front.received().len();
    until(of, async || front.received().len() > before + 20).await;
    assert!(load.end().await > 0);
    standing.rest().await;
    standing.house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_may_change_in_any_order() {
    let (old, new) = (Authority::new(), Authority::new());
    let begin = || server(&old, &[&old]);
    let wait = || Step::Wait(SEEN);
    let late = || Step::Wait(Duration::from_millis(300));
    let both: &[&Authority] = &[&old, &new];
    let only: &[&Authority] = &[&new];
    tokio::join!(
        rotate(
            "another certificate of the same authority",
            begin(),
            &old,
            vec![Step::Server(begin()), late(), Step::Server(begin())],
        ),
        rotate(
            "another authority, both trusted for a while",
            begin(),
            &old,
            vec![
                Step::Trust(both),
                wait(),
                Step::Server(server(&new, &[&old])),
                late(),
                Step::Trust(only),
                wait(),
            ],
        ),
        rotate(
            "another authority, the receiver first",
            begin(),
            &old,
            vec![Step::Server(server(&new, &[&old])), late(), Step::Trust(only)],
        ),
        rotate(
            "another client certificate, both taken for a while",
            begin(),
            &old,
            vec![
                Step::Server(server(&old, both)),
                Step::Client(&new),
                wait(),
                Step::Server(server(&old, only)),
            ],
        ),
        rotate(
            "another client certificate, the receiver first",
            begin(),
            &old,
            vec![Step::Server(server(&old, only)), late(), Step::Client(&new)],
        ),
    );
}
