//! TLS on the ingest listener: versions, clients' certificates, rotation, and peers that spoil it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sluicegate::receive::{ClientAuth, Config, Tls, TlsConfig, TlsVersion};
use sluicegate::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

use crate::receive_door::{ARN, ID, KEY, envelope, line};
use crate::receive_wire::{Open, answer, ends, open, whole};

const FAILURES: &str = "sluicegate_tls_handshake_failures_total";

/// An authority, and a directory for what it issues.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

pub(crate) type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn issue(&self, host: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a new `NAME.pem` and `NAME.key`; the certificate.
    pub(crate) fn write(&self, name: &str, host: &str) -> CertificateDer<'static> {
        let (certificate, key) = self.issue(host);
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        certificate.der().clone()
    }

    pub(crate) fn client(&self) -> Identity {
        let (certificate, key) = self.issue("client");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (certificate.der().clone(), key)
    }

    /// TLS with a fresh certificate for this machine, `server.pem`.
    pub(crate) fn config(&self, auth: ClientAuth) -> TlsConfig {
        self.write("server", "127.0.0.1");
        TlsConfig {
            cert_file: self.path("server.pem"),
            key_file: self.path("server.key"),
            client_ca_file: auth.verifies().then(|| self.path("ca.pem")),
            client_auth_type: auth,
            min_version: TlsVersion::Tls12,
        }
    }

    async fn open(&self, tune: impl FnOnce(&mut Config)) -> Open {
        let tls = self.config(ClientAuth::NoClientCert);
        open(
            |config| {
                config.tls_config = Some(tls);
                tune(config);
            },
            true,
        )
        .await
    }

    pub(crate) fn connector(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
        identity: Option<Identity>,
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) async fn shake(
    connector: &TlsConnector,
    open: &Open,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(open.address).await?;
    connector.connect("127.0.0.1".try_into().unwrap(), stream).await
}

/// A whole request and its answer's status. An error if the connection does not come to that.
pub(crate) async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<u16> {
    stream.write_all(&whole(&envelope(ID, &[line(1).as_bytes()]))).await?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    let (answer, _) = answer(&mut first.chain(stream)).await;
    Ok(answer.status)
}

#[tokio::test]
async fn both_versions_are_spoken_and_http2_where_it_is_offered() {
    let authority = Authority::new();
    let open = authority.open(|_| {}).await;
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        for (offered, chosen) in
            [(&[][..], None), (&["http/1.1"], Some("http/1.1")), (&["http/1.1", "h2"], Some("h2"))]
        {
            let connector = authority.connector(&[version], offered, None);
            let mut stream = shake(&connector, &open).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
            if chosen != Some("h2") {
                assert_eq!(ask(&mut stream).await.unwrap(), 200);
            }
        }
    }
    let stranger = authority.connector(&[&TLS13], &["spdy/3"], None);
    shake(&stranger, &open).await.unwrap_err();

    let config =
        TlsConfig { min_version: TlsVersion::Tls13, ..authority.config(ClientAuth::NoClientCert) };
    open.terms.send_modify(|limits| limits.tls = Some(Tls::open(&config).unwrap()));
    shake(&authority.connector(&[&TLS12], &[], None), &open).await.unwrap_err();
    let mut stream = shake(&authority.connector(&[&TLS13], &[], None), &open).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
}

fn h2_client(authority: &Authority) -> reqwest::Client {
    let roots = [reqwest::Certificate::from_der(authority.issuer.der()).unwrap()];
    reqwest::Client::builder().tls_certs_only(roots).no_proxy().build().unwrap()
}

async fn post(client: &reqwest::Client, open: &Open) -> reqwest::Response {
    let request = client
        .post(format!("https://{}/firehose", open.address))
        .header("x-amz-firehose-protocol-version", "1.0")
        .header("x-amz-firehose-request-id", ID)
        .header("x-amz-firehose-source-arn", ARN)
        .header("x-amz-firehose-access-key", KEY)
        .body(envelope(ID, &[line(1).as_bytes()]));
    request.send().await.unwrap()
}

#[tokio::test]
async fn http2_goes_on_over_new_connections_when_one_is_worn() {
    let authority = Authority::new();
    let open = authority.open(|config| config.max_requests_per_connection = 3).await;
    let client = h2_client(&authority);
    let connections = || open.house.metric("sluicegate_connections{listener=\"ingest\"}");
    for number in 1..=9 {
        let response = post(&client, &open).await;
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        while number % 3 == 0 && connections() > 0.0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(connections(), if number % 3 == 0 { 0.0 } else { 1.0 }, "{number}");
    }
    assert_eq!(open.house.metric(FAILURES), 0.0);
}

#[tokio::test]
async fn clients_are_asked_for_what_is_configured() {
    use ClientAuth::{
        NoClientCert, RequestClientCert, RequireAndVerifyClientCert, RequireAnyClientCert,
        VerifyClientCertIfGiven,
    };
    let (ours, other) = (Authority::new(), Authority::new());
    let open = ours.open(|_| {}).await;
    let mut failures = 0.0;
    // Let in: without a certificate, with one of another authority, with the right one.
    for (auth, let_in) in [
        (NoClientCert, [true, true, true]),
        (RequestClientCert, [true, true, true]),
        (RequireAnyClientCert, [false, true, true]),
        (VerifyClientCertIfGiven, [true, false, true]),
        (RequireAndVerifyClientCert, [false, false, true]),
    ] {
        let tls = Tls::open(&ours.config(auth)).unwrap();
        open.terms.send_modify(|limits| limits.tls = Some(tls));
        for version in [&TLS12, &TLS13] {
            let shown = [None, Some(other.client()), Some(ours.client())];
            for ((identity, let_in), kind) in shown.into_iter().zip(let_in).zip(0..) {
                let connector = ours.connector(&[version], &[], identity);
                let outcome = match shake(&connector, &open).await {
                    Ok(mut stream) => ask(&mut stream).await,
                    Err(error) => Err(error),
                };
                let of = format!("{auth:?} {version:?} {kind}: {outcome:?}");
                assert_eq!(outcome.is_ok_and(|status| status == 200), let_in, "{of}");
                failures += if let_in { 0.0 } else { 1.0 };
                while open.house.metric(FAILURES) < failures {
                    tokio::task::yield_now().await;
                }
                assert_eq!(open.house.metric(FAILURES), failures, "{of}");
            }
        }
    }
    // Any certificate will do, but its key has to be at hand.
    let tls = Tls::open(&ours.config(RequireAnyClientCert)).unwrap();
    open.terms.send_modify(|limits| limits.tls = Some(tls));
    for version in [&TLS12, &TLS13] {
        let (certificate, _) = other.client();
        let (_, strange) = other.client();
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(strange).unwrap();
        let forged = tokio_rustls::rustls::sign::CertifiedKey::new(vec![certificate], key);
        let mut config = ClientConfig::clone(ours.connector(&[version], &[], None).config());
        config.client_auth_cert_resolver =
            Arc::new(tokio_rustls::rustls::sign::SingleCertAndKey::from(forged));
        let connector = TlsConnector::from(Arc::new(config));
        let outcome = match shake(&connector, &open).await {
            Ok(mut stream) => ask(&mut stream).await,
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "{version:?}: {outcome:?}");
    }
}

/// Makes a second pass for everything that looks at the clock, and goes on in real time.
async fn a_second_passes() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_certificate_is_replaced_under_load_without_a_failure() {
    let authority = Arc::new(Authority::new());
    let open = Arc::new(authority.open(|_| {}).await);
    let first = std::fs::read(authority.path("server.pem")).unwrap();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks = Tasks::new();
    let mut senders = Vec::new();
    for sender in 0..4 {
        let connector = authority.connector(&[[&TLS12, &TLS13][sender % 2]], &[], None);
        let (open, stop, asked) = (Arc::clone(&open), Arc::clone(&stop), Arc::clone(&asked));
        senders.push(tasks.spawn(async move {
            let mut kept = shake(&connector, &open).await.unwrap();
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(ask(&mut kept).await.unwrap(), 200, "on the connection that is kept");
                let mut new = shake(&connector, &open).await.unwrap();
                assert_eq!(ask(&mut new).await.unwrap(), 200, "on a new connection");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let some = async || {
        let until = asked.load(Ordering::Relaxed) + 10;
        while asked.load(Ordering::Relaxed) < until {
            assert!(senders.iter().all(|sender| !sender.is_finished()));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let fresh = authority.connector(&[&TLS13], &[], None);
    let seen = async || {
        let stream = shake(&fresh, &open).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = seen().await;
    for round in 0..3 {
        some().await;
        let (certificate, key) = authority.issue("127.0.0.1");
        // One file before the other, and looked at in between.
        std::fs::write(authority.path("server.key"), key.serialize_pem()).unwrap();
        a_second_passes().await;
        some().await;
        std::fs::write(authority.path("server.pem"), certificate.pem()).unwrap();
        a_second_passes().await;
        assert_eq!(&seen().await, certificate.der(), "round {round}");
        some().await;
    }
    // And back.
    assert_ne!(seen().await, before);
    assert_ne!(std::fs::read(authority.path("server.pem")).unwrap(), first);
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(open.house.metric(FAILURES), 0.0);
}

#[tokio::test]
async fn authorities_of_clients_are_replaced_as_well() {
    let (ours, other) = (Authority::new(), Authority::new());
    let tls = ours.config(ClientAuth::RequireAndVerifyClientCert);
    let open = open(|config| config.tls_config = Some(tls), true).await;
    let asks = async |identity| {
        let connector = ours.connector(&[&TLS13], &[], Some(identity));
        ask(&mut shake(&connector, &open).await?).await
    };
    assert!(asks(ours.client()).await.is_ok() && asks(other.client()).await.is_err());
    let both = format!("{}{}", ours.issuer.pem(), other.issuer.pem());
    std::fs::write(ours.path("ca.pem"), both).unwrap();
    a_second_passes().await;
    assert!(asks(ours.client()).await.is_ok() && asks(other.client()).await.is_ok());
    std::fs::write(ours.path("ca.pem"), other.issuer.pem()).unwrap();
    a_second_passes().await;
    assert!(asks(ours.client()).await.is_err() && asks(other.client()).await.is_ok());
}

#[tokio::test]
async fn peers_that_speak_no_tls_harm_nobody() {
    let authority = Authority::new();
    let open = authority.open(|_| {}).await;
    // Another one, that leaves by a reset.
    let stream = TcpStream::connect(open.address).await.unwrap();
    while open.house.metric("sluicegate_connections{listener=\"ingest\"}") < 1.0 {
        tokio::task::yield_now().await;
    }
    stream.set_zero_linger().unwrap();
    drop(stream);
    for (sent, failures) in [
        // A load balancer that looks whether the port is open.
        (&b""[..], 0.0),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 1.0),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 2.0),
        (b"\x16\x03\x01\x00\x05hello", 3.0),
        (&[0x80; 4096], 4.0),
        (&[0x16, 0x03, 0x03, 0xff, 0xff, 1, 2, 3], 5.0),
    ] {
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        let _ = stream.write_all(sent).await;
        let _ = stream.shutdown().await;
        let rest = ends(stream).await;
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
        while open.house.metric("sluicegate_connections{listener=\"ingest\"}") > 0.0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(open.house.metric(FAILURES), failures, "{sent:?}");
    }
    let mut stream = shake(&authority.connector(&[&TLS13], &[], None), &open).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn handshakes_and_first_headers_have_their_time() {
    let authority = Authority::new();
    let open = authority.open(|_| {}).await;
    for (sent, seconds) in [(&b""[..], 10), (&[0x16, 3, 1, 2, 0, 1, 0][..], 10)] {
        let mut stream = TcpStream::connect(open.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let started = Instant::now();
        ends(stream).await;
        let took = started.elapsed().as_secs();
        assert!((seconds - 1..=seconds).contains(&took), "{sent:?}: {took} s");
    }
    assert_eq!(open.house.metric(FAILURES), 2.0);

    // The headers have what the handshake has left of it.
    let stream = TcpStream::connect(open.address).await.unwrap();
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let connector = authority.connector(&[&TLS13], &[], None);
    let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    ends(stream).await;
    let took = started.elapsed().as_secs();
    assert!((9..=10).contains(&took), "{took} s");
    open.stop.cancel();
}

#[tokio::test]
async fn a_worn_connection_is_closed_politely() {
    let authority = Authority::new();
    let open = authority.open(|config| config.max_requests_per_connection = 3).await;
    let mut stream = shake(&authority.connector(&[&TLS13], &[], None), &open).await.unwrap();
    for number in 1..=3 {
        stream.write_all(&whole(&envelope(ID, &[line(1).as_bytes()]))).await.unwrap();
        let (answer, head) = answer(&mut stream).await;
        assert_eq!(answer.status, 200);
        assert_eq!(head.contains("connection: close\r\n"), number == 3, "{number}: {head}");
    }
    let mut rest = Vec::new();
    // An end that is said, not one that could be an attacker's.
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}
